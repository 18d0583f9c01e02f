"""What readers give: pages one by one, then title and outline; or a typed problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from server.manuals.documents import ManualError, OutlineEntry
from server.manuals.extraction.normal import normalise

MAX_OUTLINE: Final = 5000
"""Headings that are kept; a manual of a thousand pages has some hundreds."""
MAX_OUTLINE_DEPTH: Final = 8
MAX_TITLE_CHARS: Final = 300


@dataclass(slots=True)
class Sink:
    """Where pages go. `on_page(text, done, total)` is called for each; limits are kept here."""

    on_page: Callable[[str, int, int | None], None]
    on_restart: Callable[[], None]
    max_pages: int
    max_chars: int
    done: int = 0
    chars: int = 0
    has_text: bool = False
    title: str = ""
    outline: list[OutlineEntry] = field(default_factory=list)

    def expect(self, pages: int) -> None:
        """Refuse a document of too many pages before reading it."""
        if pages > self.max_pages:
            raise ManualError(
                "too_large", f"The manual has {pages} pages; {self.max_pages} are allowed"
            )

    def add(self, text: str, total: int | None) -> None:
        """Take the next page."""
        self.expect(self.done + 1)
        page = normalise(text)
        self.done += 1
        self.chars += len(page) + 1
        self.has_text = self.has_text or bool(page.strip())
        if self.chars > self.max_chars:
            raise ManualError(
                "too_large", f"The manual has more than {self.max_chars} characters of text"
            )
        self.on_page(page, self.done, total)

    def restart(self) -> None:
        """Forget the pages so far: another reader begins again."""
        self.done, self.chars, self.has_text = 0, 0, False
        self.on_restart()
