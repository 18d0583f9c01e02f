"""A manual that is fetched and read while the person waits, and one that never comes."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from playwright.sync_api import expect

PAGE_COUNT = 600
CATALOG = """
[[product]]
id = "big"
name = "Big Machine"
brand = "Acme"
category = "Machines"
manual = {{ url = "{address}/manual.pdf", type = "pdf" }}

[[product]]
id = "lost"
name = "Lost Machine"
brand = "Acme"
category = "Machines"
manual = {{ url = "{address}/missing.pdf", type = "pdf" }}
"""


class Shelf:
    """A host of manuals that gives them out when the test opens it."""

    def __init__(self, manual: bytes) -> None:
        self.open = Event()
        shelf = self

        class Give(BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path == "/manual.pdf"
                if found:
                    shelf.open.wait(60)
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(manual) if found else 0))
                self.send_header("Content-Type", "application/pdf")
                self.end_headers()
                if found:
                    self.wfile.write(manual)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Give)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def shelf(make_pdf, tmp_path_factory) -> Iterator[Shelf]:
    path: Path = tmp_path_factory.mktemp("shelf") / "manual.pdf"
    lines = "Grease the axle with oil of grade {page} and turn the wheel by hand.\n" * 30
    pages = tuple(f"Axle {page}\n\n" + lines.format(page=page) for page in range(PAGE_COUNT))
    make_pdf(path, "Big Machine", pages)
    shelf = Shelf(path.read_bytes())
    yield shelf
    shelf.close()


@pytest.fixture(scope="module")
def url(serve, shelf):
    return serve(
        [{"text": "Grease it."}],
        catalog=CATALOG.format(address=shelf.address),
        MANICULE_ALLOW_HTTP="true",
        MANICULE_ALLOW_PRIVATE_ADDRESSES="true",
    ).url


def test_fetching_and_reading_are_shown_as_they_happen(url, visit, shelf):
    visited = visit(url)
    visited.choose("big", "Big Machine")
    visited.ask("How do I grease the axle?")
    state = visited.page.locator(".state-words")
    expect(state).to_contain_text("Fetching the manual")
    visited.page.evaluate(
        """() => {
          window.said = [];
          const line = document.querySelector(".state-words");
          const note = () => window.said.push(line.textContent);
          new MutationObserver(note).observe(line, {
            subtree: true, childList: true, characterData: true,
          });
        }"""
    )
    shelf.open.set()
    expect(visited.answer()).to_have_count(1, timeout=60_000)
    said = visited.page.evaluate("window.said")
    counts = [
        int(found[1])
        for line in said
        if (found := re.search(rf"Reading the manual, (\d+) of {PAGE_COUNT} pages", line))
    ]
    assert len(counts) > 1
    assert counts == sorted(counts)
    expect(visited.page.locator(".answer-text")).to_have_text("Grease it.")


def test_a_manual_that_is_missing_is_said_and_the_question_still_answered(url, visit):
    visited = visit(url)
    visited.choose("lost", "Lost Machine")
    visited.ask("How do I grease the axle?")
    expect(visited.answer().locator(".answer-text")).to_have_text("Grease it.")
    notice = visited.page.locator('.notice[data-notice="manual"]')
    expect(notice).to_contain_text("The manual could not be read")
