"""What the layout of a manual tells: lines, running headers, contents pages, sections.

Everything here works on lines with their offsets in the whole text, so that nothing that is found
loses its place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.language.terms import fold
from server.manuals.documents import PAGE_SEPARATOR, ManualText, OutlineEntry

MAX_HEADING_CHARS = 90
MAX_PATH_CHARS = 240
"""Longest title path kept with a passage; the nearest titles stay."""


@dataclass(frozen=True, slots=True)
class Line:
    """One visible line: its place in the whole text, its page, and whether a blank precedes it."""

    start: int
    end: int
    page: int
    after_blank: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A run of lines under one title path; `first` and `last` are indexes of lines, half open."""

    path: tuple[str, ...]
    first: int
    last: int


_VISIBLE = re.compile(r"[^\n\r]*\S[^\n\r]*")
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_LEADER = re.compile(r"(?:\. ?){4,}|…{2,}|_{4,}|(?:· ?){4,}")
_ENDS_IN_NUMBER = re.compile(r"(?:^|\s|\.)(\d{1,4})\s*$")
_INDEX_ENTRY = re.compile(r"^\S.{0,60}?,\s*\d{1,4}(?:\s*[,–-]\s*\d{1,4})*$")
_LISTING_TITLE = re.compile(
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
        for match in _VISIBLE.finditer(text, begin, end):
            raw = match.group()
            start = match.start() + len(raw) - len(raw.lstrip())
            blank = text.count("\n", previous, start) > 1
            previous = match.end()
            lines.append(Line(start, start + len(raw.strip()), number, blank))
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

    A running line is one of the two first or last of its page whose words, numbers aside, stand
    there on at least four pages and a tenth of all; or a lone page number.
    """
    edges = [{line: _shape(text, line) for line in (*page[:2], *page[-2:])} for page in pages]
    seen = Counter(shape for edge in edges for shape in set(edge.values()))
    least = max(4, len(pages) // 10)
    kept: list[list[Line]] = []
    running: list[Line] = []
    for page, edge in zip(pages, edges, strict=True):
        dropped = {
            line
            for line, shape in edge.items()
            if seen[shape] >= least or not shape.strip("# /|-–")
        }
        kept.append([line for line in page if line not in dropped])
        running += [line for line in page if line in dropped]
    return kept, running


def _shape(text: str, line: Line) -> str:
    return _DIGITS.sub("#", fold(text[line.start : line.end]))


def is_listing(text: str, lines: Sequence[Line]) -> bool:
    """Whether a page is a table of contents or an index: it names everything and says nothing."""
    if not lines:
        return False
    words = [text[line.start : line.end] for line in lines]
    leaders = sum(1 for line in words if _LEADER.search(line))
    if leaders >= 3 and leaders >= 0.3 * len(words):
        return True
    numbers = [int(found.group(1)) for line in words if (found := _ENDS_IN_NUMBER.search(line))]
    titled = any(_LISTING_TITLE.match(normal(line)) for line in words[:3])
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


def outline_sections(
    text: str, lines: Sequence[Line], outline: Sequence[OutlineEntry]
) -> list[Section]:
    """Return the sections that an outline makes of the lines.

    Each title is looked for on its page (also over up to three lines, and on the next page), after
    the title before it; one that is not found starts where its page starts. Lines before the
    first title are a section without a title. Sections under a listing's title are left out.
    """
    first_of_page = _first_of_page(lines)
    starts: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    path: list[tuple[int, str]] = []
    for entry in outline:
        title = " ".join(entry.title.split())
        path = [(level, name) for level, name in path if level < entry.level]
        path.append((entry.level, title))
        floor = starts[-1][0]
        at = _find_title(text, lines, first_of_page, entry, floor)
        starts.append((max(at, floor), tuple(name for _, name in path)))
    starts.append((len(lines), ()))
    return [
        Section(path, first, last)
        for (first, path), (last, _) in pairwise(starts)
        if last > first and not (path and _LISTING_TITLE.match(normal(path[-1])))
    ]


def _first_of_page(lines: Sequence[Line]) -> dict[int, int]:
    first: dict[int, int] = {}
    for index, line in enumerate(lines):
        first.setdefault(line.page, index)
    return first


def _find_title(
    text: str,
    lines: Sequence[Line],
    first_of_page: dict[int, int],
    entry: OutlineEntry,
    floor: int,
) -> int:
    """Return the index of the line where the entry's title stands, or where its page starts."""
    wanted = normal(entry.title)
    start = first_of_page.get(entry.page)
    if start is None:
        later = [index for page, index in first_of_page.items() if page >= entry.page]
        return min(later, default=len(lines))
    index = max(start, floor)
    while wanted and index < len(lines) and lines[index].page <= entry.page + 1:
        joined = ""
        for line in lines[index : index + 3]:
            joined = (
                normal(f"{joined} {text[line.start : line.end]}")
                if joined
                else normal(text[line.start : line.end])
            )
            if joined == wanted:
                return index
            if not joined or not wanted.startswith(joined):
                break
        index += 1
    return start


def layout_sections(text: str, lines: Sequence[Line]) -> list[Section]:
    """Return the sections that the layout shows, for manuals without an outline."""
    if not lines:
        return []
    full = full_line_chars(lines)
    heads = [index for index in range(len(lines)) if _is_heading(text, lines, index, full)]
    starts: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    for index in heads:
        title = " ".join(text[lines[index].start : lines[index].end].split())
        starts.append((index, (title,)))
    starts.append((len(lines), ()))
    return [
        Section(path, first, last) for (first, path), (last, _) in pairwise(starts) if last > first
    ]


_NUMBERED = re.compile(
    r"^(?:(?:chapter|appendix|part|section)\s+[\dA-Z]+|\d{1,2}(?:\.\d{1,2}){0,4}[.)]?)\s+[^\W\d_]",
    re.I,
)
_SENTENCE_END = re.compile(r"[.,;:!…)\]>»]$")


def _is_heading(text: str, lines: Sequence[Line], index: int, full: int) -> bool:
    """Whether a line looks like a title: short, on its own, and followed by running text."""
    line = lines[index]
    words = text[line.start : line.end]
    if not 4 <= len(words) <= min(MAX_HEADING_CHARS, max(40, full)) or _SENTENCE_END.search(words):
        return False
    if not (words[0].isupper() or words[0].isdigit()) or len(words.split()) > 12:
        return False
    if sum(char.isalpha() for char in words) < 0.6 * len(words.replace(" ", "")):
        return False
    if index + 1 == len(lines):
        return False
    following = text[lines[index + 1].start : lines[index + 1].end]
    before = text[lines[index - 1].start : lines[index - 1].end] if index else "."
    if following[0].islower() or not (following[0].isalnum() or _is_bullet(following)):
        return False
    evidence = 0
    evidence += bool(_NUMBERED.match(words)) * 2
    evidence += line.after_blank
    evidence += index == 0 or lines[index - 1].page != line.page
    evidence += before[-1] in ".!?" or lines[index - 1].page != line.page
    evidence += len(following) > 1.3 * len(words) or lines[index + 1].after_blank
    evidence += len(words.split()) > 1 and len(words) < 0.8 * full
    return evidence >= 3


def _is_bullet(words: str) -> bool:
    return words[0] in "•●○◦▪■►▶–-—*"


def short_path(path: Sequence[str]) -> str:
    """Return the title path as one heading, the outermost titles left out when it is too long."""
    heading = ""
    for title in reversed(path):
        longer = f"{title} > {heading}" if heading else title[:MAX_PATH_CHARS]
        if len(longer) > MAX_PATH_CHARS:
            break
        heading = longer
    return heading


def sections_of(manual: ManualText, lines: Sequence[Line]) -> Iterator[Section]:
    """Yield the sections of the lines, by outline where it is of use, else by layout."""
    if len(manual.outline) < 3:
        yield from layout_sections(manual.text, lines)
        return
    yield from outline_sections(manual.text, lines, manual.outline)
