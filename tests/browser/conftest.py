"""A real browser, real servers and a page that reports everything it should not do.

The browser fixture lasts one module and its tests are plain functions: Playwright's blocking API
keeps an event loop running, which tests with a loop of their own could not bear.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright
from ports import hold_port

START_S = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PAGES = (
    "TD-17 drum module\nOwner's manual\n\nThank you for choosing this drum module.",
    "Changing the battery\n\nOpen the lid on the back of the module and take the old battery out. "
    "Insert a fresh battery of type CR2032 with the plus sign facing up, then close the lid. "
    "The clock keeps running for one minute without a battery.",
    "Cleaning\n\nWipe the pads with a dry soft cloth. Never use solvents or alcohol on the pads, "
    "as they make the rubber brittle. Tighten the wing bolts after cleaning.",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; without one the test fails and says what to install."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("no Chromium on the PATH: install the package chromium, or Google Chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[tuple[str, list[str]]]:
    """A host that records every request made to it."""
    hits: list[str] = []

    class Record(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - the standard library's names

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Record)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", hits
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Watch:
    """What a page did that it should not have: errors in the console, dialogs, foreign requests."""

    origin: str = ""
    problems: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    sent: list[dict[str, object]] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Accept problems that match `pattern`, such as failed connections while offline."""
        self.allowed.append(pattern)

    def attach(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", lambda socket: socket.on("framesent", self._frame))

    def left(self) -> list[str]:
        return [
            problem
            for problem in self.problems
            if not any(re.search(pattern, problem) for pattern in self.allowed)
        ]

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _dialog(self, dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, url: str) -> None:
        if not url.startswith(("data:", "blob:", self.origin + "/")):
            self.problems.append(f"request to {url}")

    def _frame(self, payload: str | bytes) -> None:
        self.sent.append(json.loads(payload))

    def asked(self) -> list[dict[str, object]]:
        """The questions that went over the socket."""
        return [frame for frame in self.sent if frame["type"] == "response.create"]


@dataclass
class Visit:
    """A page at a server, with its watch and its context."""

    page: Page
    watch: Watch
    context: BrowserContext

    def connected(self) -> None:
        """Wait until the page has a session."""
        self.page.locator('.link-state[data-link="open"]').wait_for()

    def choose(self, query: str = "td17", name: str = "TD-17 Drum Module") -> None:
        """Search and choose a product with the mouse."""
        self.connected()
        self.page.get_by_label("Product", exact=True).fill(query)
        options = self.page.get_by_role("listbox", name="Products found")
        options.get_by_role("option", name=name).click()

    @property
    def question(self) -> Locator:
        """The field for the question."""
        return self.page.get_by_label("Question", exact=True)

    def ask(self, question: str = "How do I change the battery?") -> None:
        """Type a question and send it."""
        self.question.fill(question)
        self.question.press("Enter")

    def answer(self, phase: str = "completed") -> Locator:
        """The answers that have come to this phase."""
        return self.page.locator(f'article[data-phase="{phase}"]')


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open a page: `visit(url, "?q=...", viewport=...)`. At the end it must have no problems."""
    opened: list[Visit] = []

    def open_page(url: str, query: str = "", *, prepare=None, context=None, **options) -> Visit:
        options = {"viewport": {"width": 1280, "height": 860}, "locale": "en-US", **options}
        context = context or browser.new_context(**options)
        page = context.new_page()
        watch = Watch(origin=url)
        watch.attach(page)
        if prepare is not None:
            prepare(page)
        visit = Visit(page, watch, context)
        opened.append(visit)
        page.goto(url + "/" + query)
        return visit

    yield open_page
    problems = [problem for visit in opened for problem in visit.watch.left()]
    for visit in opened:
        visit.context.close()
    assert problems == []


@dataclass
class AppServer:
    """The server as its users start it, in a process and a folder of its own."""

    folder: Path
    options: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=hold_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> AppServer:
        """Start, on the same port as before, and wait for the address it prints."""
        command = [sys.executable, "-m", "server", "serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.folder / "data"), *self.options]
        clean = {name: value for name, value in os.environ.items() if "MANICULE" not in name}
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**clean, **self.variables, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        self._wait_for_address(lines)
        return self

    def _read(self, lines: queue.Queue[str | None]) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.put(line)
        lines.put(None)

    def _wait_for_address(self, lines: queue.Queue[str | None]) -> None:
        said = ""
        while (line := lines.get(timeout=START_S)) is not None:
            said += line
            if self.url in line:
                return
        raise AssertionError(f"the server did not start:\n{said}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(START_S)
        self._reader.join(START_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@pytest.fixture(scope="module")
def serve(tmp_path_factory) -> Iterator[Callable[..., AppServer]]:
    """Start a server on a script: `serve([{"text": "Hello"}], pages=(...))`.

    With `catalog` the products are those of that TOML text. `variables` are settings.
    """
    servers: list[AppServer] = []

    def start(script, pages: tuple[str, ...] = PAGES, catalog: str = "", **variables) -> AppServer:
        folder = tmp_path_factory.mktemp("app")
        (folder / "script.json").write_text(json.dumps(script))
        (folder / "manuals").mkdir()
        if catalog:
            (folder / "catalog.toml").write_text(catalog)
            source = ("--catalog", str(folder / "catalog.toml"))
        else:
            write_pdf(folder / "manuals" / "korven-td-17.pdf", "TD-17 Drum Module", pages)
            write_pdf(folder / "manuals" / "mixer.pdf", "Studio Mixer 12", PAGES[2:])
            source = ("--manuals", str(folder / "manuals"))
        options = ("--model", f"scripted:{folder / 'script.json'}", *source)
        server = AppServer(folder, options, variables)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def make_pdf() -> Callable[[Path, str, tuple[str, ...]], None]:
    """Write a manual: `make_pdf(path, title, pages)`."""
    return write_pdf


def write_pdf(path: Path, title: str, pages: tuple[str, ...]) -> None:
    """A manual with a page for each text, its lines wrapped."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.utils import simpleSplit
    from reportlab.pdfgen import canvas

    drawn = canvas.Canvas(str(path), pagesize=A4, invariant=1)
    drawn.setTitle(title)
    for page in pages:
        text = drawn.beginText(72, 760)
        for line in page.split("\n"):
            for piece in simpleSplit(line, "Helvetica", 12, 450) or [""]:
                text.textLine(piece)
        drawn.drawText(text)
        drawn.showPage()
    drawn.save()
