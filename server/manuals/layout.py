"""What the layout of a manual tells: its lines, running headers and footers, contents pages.

Everything here works on lines with their offsets in the whole text, so that nothing that is found
loses its place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.language.terms import fold
from server.manuals.documents import PAGE_SEPARATOR

MAX_RUNNING_CHARS = 120
"""A header or footer is at most so long."""
MIN_PAGE_LINES = 5
"""On a page with fewer lines the first and last may well be all that it says."""


@dataclass(frozen=True, slots=True)
class Line:
    """One visible line: its place in the whole text, its page, and whether a blank precedes it."""

    start: int
    end: int
    page: int
    after_blank: bool


_LINE = re.compile(r"[^\n\r\f]+")
_PAGE_NUMBER = re.compile(
    r"^(?:\d{1,4}|[ivxlc]{1,7})(?=\s|$)|(?<=\s)(?:\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?|[ivxlc]{1,7})$"
)
_LONE_NUMBER = re.compile(
    r"[\s|–—-]*(?:page\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of)\s*\d{1,4})?[\s|–—-]*$",
    re.IGNORECASE,
)
_LEADER = re.compile(r"(?:\. ?){4,}|…{2,}|_{4,}|(?:· ?){4,}")
_ENDS_IN_NUMBER = re.compile(r"(?:^|\s|\.)(\d{1,4})\s*$")
_INDEX_ENTRY = re.compile(r"^\S.{0,60}?,\s*\d{1,4}(?:\s*[,–-]\s*\d{1,4})*$")
LISTING_TITLE = re.compile(
    r"^(?:table of contents|contents|index|list of (?:figures|tables)|inhalt(?:sverzeichnis)?"
    r"|sommaire|table des matieres|stichwortverzeichnis|indice)$"
)
_NUMBERING = re.compile(
    r"^(?:(?:chapter|appendix|part|section|chapitre|kapitel)\s+[\w.]+|[a-z]?[\d.]*\d[.)]*|[a-z][.)])"
    r"[\s:.–-]+",
)
_NOT_WORD = re.compile(r"[\W_]+")


def page_offsets(text: str) -> list[int]:
    """Return where each page starts in the whole text."""
    offsets = [0]
    at = text.find(PAGE_SEPARATOR)
    while at >= 0:
        offsets.append(at + 1)
        at = text.find(PAGE_SEPARATOR, at + 1)
    return offsets


def page_at(offsets: Sequence[int], char: int) -> int:
    """Return the page, from 1, that holds the character at `char`."""
    return bisect_right(offsets, char)


def page_lines(text: str, offsets: Sequence[int]) -> list[list[Line]]:
    """Return the visible lines of every page, without the white space around them."""
    pages: list[list[Line]] = []
    for number, begin in enumerate(offsets, start=1):
        end = offsets[number] - 1 if number < len(offsets) else len(text)
        lines: list[Line] = []
        previous = begin
        for match in _LINE.finditer(text, begin, end):
            raw = match.group()
            bare = raw.strip()
            if not bare:
                continue
            start = match.start() + raw.index(bare[0])
            blank = text.count("\n", previous, start) > 1
            previous = match.end()
            lines.append(Line(start, start + len(bare), number, blank))
        pages.append(lines)
    return pages


def full_line_chars(lines: Sequence[Line]) -> int:
    """Return the length of a full line: only one line in ten is longer. At least 40."""
    widths = sorted(line.end - line.start for line in lines)
    return max(40, widths[len(widths) * 9 // 10]) if widths else 40


def split_running_lines(
    text: str, pages: Sequence[Sequence[Line]]
) -> tuple[list[list[Line]], list[Line]]:
    """Return the pages without running headers and footers, and those lines.

    A running line is one of the two first or last of its page and not long, and it is a lone page
    number; or it stands at the same place on at least four pages and an eighth of all, but for the
    page number; or its first two words do on a third of all pages (the product's name before the
    chapter's). A page of which nothing else would stay keeps its lines.
    """
    edges = [_edge_shapes(text, page) for page in pages]
    seen = Counter(key for edge in edges for key in edge)
    begun = Counter((place, _first_two(shape)) for edge in edges for place, shape in edge)
    least, least_begun = max(4, len(pages) // 8), max(4, len(pages) // 3)
    kept: list[list[Line]] = []
    running: list[Line] = []
    for page, edge in zip(pages, edges, strict=True):
        lone = {line for line in edge.values() if _LONE_NUMBER.match(text, line.start, line.end)}
        dropped = {line for key, line in edge.items() if seen[key] >= least} | lone
        if len(page) >= MIN_PAGE_LINES:
            dropped |= {
                line
                for (place, shape), line in edge.items()
                if begun[place, _first_two(shape)] >= least_begun
            }
        if len(dropped) == len(page):
            dropped = lone
        kept.append([line for line in page if line not in dropped])
        running += [line for line in page if line in dropped]
    return kept, running


def _edge_shapes(text: str, page: Sequence[Line]) -> dict[tuple[int, str], Line]:
    """Return the two first and last lines of a page by their place (0, 1, -2, -1) and shape."""
    return {
        (place, _shape(text, page[place])): page[place]
        for place in (0, 1, -2, -1)
        if -len(page) <= place < len(page)
        and page[place].end - page[place].start <= MAX_RUNNING_CHARS
    }


def _shape(text: str, line: Line) -> str:
    """Return a line folded, with `#` for a page number at its beginning or end."""
    return _PAGE_NUMBER.sub("#", fold(text[line.start : line.end]))


def _first_two(shape: str) -> str:
    """Return the first two words of a longer line, the whole of a short one."""
    words = shape.split(None, 3)
    return " ".join(words[:2]) if len(words) > 3 else shape


def is_listing(text: str, lines: Sequence[Line]) -> bool:
    """Whether a page is a table of contents or an index: it names everything and says nothing."""
    if not lines:
        return False
    words = [text[line.start : line.end] for line in lines]
    leaders = sum(1 for line in words if _LEADER.search(line))
    if leaders >= 3 and leaders >= 0.3 * len(words):
        return True
    numbers = [
        int(found.group(1))
        for line in words
        if line[-1].isdecimal() and (found := _ENDS_IN_NUMBER.search(line))
    ]
    titled = any(LISTING_TITLE.match(normal(line)) for line in words[:3])
    if titled and len(numbers) >= 0.4 * len(words) and len(numbers) >= 4:
        return True
    entries = sum(1 for line in words if _INDEX_ENTRY.match(line))
    if entries >= 10 and entries >= 0.5 * len(words):
        return True
    if len(numbers) < 12 or len(numbers) < 0.6 * len(words):
        return False
    rising = sum(1 for one, two in pairwise(numbers) if one <= two)
    return rising >= 0.9 * (len(numbers) - 1) and numbers[-1] > numbers[0]


def normal(title: str) -> str:
    """Return a title to compare: folded, without numbering and punctuation."""
    folded = fold(title).strip()
    bare = _NUMBERING.sub("", folded, count=1) or folded
    return _NOT_WORD.sub(" ", bare).strip()
