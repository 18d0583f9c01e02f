// Sets the colour scheme before the first paint; the application takes over afterwards.
(function () {
  var chosen = null;
  try {
    chosen = window.localStorage.getItem("manicule.color-scheme");
  } catch (error) {
    // Storage may be blocked; the system's scheme is used.
  }
  var dark = chosen === "dark" || (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
