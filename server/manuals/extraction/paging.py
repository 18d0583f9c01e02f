"""Pages for manuals that have none: HTML, Markdown and plain text.

Their page numbers are counted so: a new page at each form feed where the text has any, else at
the first block or heading that would take a page beyond `PAGE_CHARS` (a heading already beyond
two thirds of it). A block longer than a page is cut at a line's end or a space.
"""

from __future__ import annotations

from typing import Final

from server.manuals.documents import ManualError
from server.manuals.extraction.results import (
    MAX_OUTLINE,
    MAX_TITLE_CHARS,
    Result,
    Results,
    too_many_pages,
)
from server.manuals.extraction.wording import normalised, one_line

PAGE_CHARS: Final = 3_000
HEADING_CHARS: Final = 2_000
LARGEST_GIVEN_PAGE_CHARS: Final = 20_000
"""A text whose form feeds leave longer pages than this is cut by size as if it had none."""


class Pages:
    """Collects blocks of text into pages; `results` gives them."""

    def __init__(self, *, by_size: bool = True) -> None:
        self.title = ""
        self._by_size = by_size
        self._pages: list[str] = []
        self._blocks: list[str] = []
        self._chars = 0
        self._outline: list[tuple[str, int, int]] = []

    def heading(self, text: str, level: int) -> None:
        """Add a heading, `level` from 0; it goes into the outline."""
        title = one_line(text, MAX_TITLE_CHARS)
        if not title:
            return
        if self._by_size and self._chars > HEADING_CHARS:
            self.new_page()
        self._add(title)
        self.title = self.title or title
        if len(self._outline) < MAX_OUTLINE:
            self._outline.append((title, len(self._pages) + 1, level))

    def block(self, text: str) -> None:
        """Add a paragraph, a table's rows or a list."""
        plain = normalised(text)
        while self._by_size and len(plain) > PAGE_CHARS:
            cut = max(plain.rfind("\n", 1, PAGE_CHARS), 0) or max(
                plain.rfind(" ", 1, PAGE_CHARS), 0
            )
            cut = cut or PAGE_CHARS
            self._add(plain[:cut])
            plain = plain[cut:].lstrip()
        if plain.strip():
            self._add(plain)

    def _add(self, block: str) -> None:
        if self._by_size and self._blocks and self._chars + len(block) > PAGE_CHARS:
            self.new_page()
        self._blocks.append(block)
        self._chars += len(block) + 2

    def new_page(self) -> None:
        """End the page, also an empty one."""
        self._pages.append("\n\n".join(self._blocks))
        self._blocks, self._chars = [], 0

    def results(self, max_pages: int) -> Results:
        """Yield pages, then title and outline; `ManualError` when there are too many or none."""
        if self._blocks or not self._pages:
            self.new_page()
        if len(self._pages) > max_pages:
            raise too_many_pages(max_pages)
        if not any(page.strip() for page in self._pages):
            raise ManualError("empty", "The manual holds no text: put another file in its place.")
        yield Result(pages_total=len(self._pages))
        for page in self._pages:
            yield Result(page=page)
        yield Result(title=self.title, outline=self._outline)


def given_pages(text: str) -> list[str] | None:
    """Return the pages that form feeds make, or None where there are none of a sensible length."""
    pages = text.rstrip("\f\n\r ").split("\f")
    sensible = len(pages) > 1 and max(map(len, pages)) <= LARGEST_GIVEN_PAGE_CHARS
    return pages if sensible else None
