const OUTLINE =
  "M784 924Q867 924 867 851Q867 776 784 776H721L703 700H877Q960 700 960 628Q960 553 877 553H654L645 474H961Q1043 474 1043 401Q1043 326 961 326H606L593 250H1359Q1442 250 1442 177Q1442 104 1363 104Q1363 104 1359 104H552Q530 47 476 47H122Q90 47 66 72Q41 98 41 135L115 924ZM75 954 0 108Q0 63 31 32Q62 0 104 0H478Q543 2 576 71H1388Q1481 71 1482 174Q1481 278 1388 279H623L627 294H989Q1081 295 1082 398Q1081 502 989 502H674L677 521H905Q997 522 998 625Q997 729 905 730H733L737 744H812Q904 745 905 848Q904 953 812 954Z";

/** The manicule, U+261E, as an outline: not every system has a font with it. Decorative. */
export function Mark({ size = 24, flipped = false }: { size?: number; flipped?: boolean }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={Math.round(size * 0.66)}
      viewBox="-10 -10 1502 974"
      fill="currentColor"
      style={flipped ? { transform: "scaleX(-1)" } : undefined}
    >
      <path d={OUTLINE} />
    </svg>
  );
}
