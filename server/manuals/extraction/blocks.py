"""Documents without pages: blocks of text are gathered into pages of readable size.

Page numbers of HTML, Markdown and text manuals are counted this way: a page ends at a form feed,
else before the block with which it would grow over `PAGE_CHARS`, earlier where a heading comes in
its last third.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from server.manuals.documents import ManualError, OutlineEntry
from server.manuals.extraction.reading import MAX_OUTLINE, MAX_TITLE_CHARS, Sink

PAGE_CHARS: Final = 3000


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list or table; `level` from 0 when it is a heading. `breaks`: a new page."""

    text: str
    level: int | None = None
    breaks: bool = False


def read_blocks(blocks: Iterable[Block], sink: Sink) -> None:
    """Give the pages that the blocks make to `sink`; raises `ManualError`."""
    page: list[str] = []
    size = 0

    def end_page() -> None:
        nonlocal size
        if page:
            sink.add("\n\n".join(page), None)
            page.clear()
            size = 0

    for block in _cut(blocks):
        is_full = size + len(block.text) > PAGE_CHARS
        is_late_heading = block.level is not None and size > PAGE_CHARS * 2 // 3
        if block.breaks or is_full or is_late_heading:
            end_page()
        text = block.text.strip("\n")
        if not text.strip():
            continue
        if block.level is not None and len(sink.outline) < MAX_OUTLINE:
            title = " ".join(text.split())[:MAX_TITLE_CHARS]
            sink.outline.append(OutlineEntry(title=title, page=sink.done + 1, level=block.level))
        page.append(text)
        size += len(text) + 2
    end_page()
    if not sink.has_text:
        raise ManualError("empty", "The manual holds no text")


def _cut(blocks: Iterable[Block]) -> Iterable[Block]:
    """Cut blocks that are longer than a page at their lines, else anywhere."""
    for block in blocks:
        rest, breaks = block.text, block.breaks
        while len(rest) > PAGE_CHARS:
            end = rest.rfind("\n", 0, PAGE_CHARS)
            end = end if end > 0 else rest.rfind(" ", 0, PAGE_CHARS)
            end = end if end > 0 else PAGE_CHARS
            yield Block(rest[:end], breaks=breaks)
            rest, breaks = rest[end:], False
        yield Block(rest, block.level, breaks)
