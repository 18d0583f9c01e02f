"""Where the sections of a manual begin: from its outline, or from what its titles look like."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.manuals.documents import ManualText, OutlineEntry
from server.manuals.layout import LISTING_TITLE, Line, full_line_chars, normal

MAX_HEADING_CHARS = 90
MAX_HEADING_WORDS = 12
MAX_TITLE_LINES = 3
MAX_SEARCHED_LINES = 400
"""Lines in which one outline title is looked for; a page has about fifty."""
MAX_PATH_CHARS = 240
"""Longest title path kept with a passage; the nearest titles stay."""
MIN_OUTLINE = 3
"""A shorter outline says less than the layout does."""


@dataclass(frozen=True, slots=True)
class Section:
    """A run of lines under one title path; `first` and `last` are indexes of lines, half open."""

    path: tuple[str, ...]
    first: int
    last: int


def sections_of(manual: ManualText, lines: Sequence[Line]) -> list[Section]:
    """Return the sections of the lines, by outline where it is of use, else by layout."""
    if len(manual.outline) >= MIN_OUTLINE:
        return outline_sections(manual.text, lines, manual.outline)
    return layout_sections(manual.text, lines)


def outline_sections(
    text: str, lines: Sequence[Line], outline: Sequence[OutlineEntry]
) -> list[Section]:
    """Return the sections that an outline makes of the lines.

    Each title is looked for on its page (also over up to three lines, and on the next page), after
    the title before it; one that is not found starts where its page starts. Lines before the
    first title are a section without a title. Sections under a listing's title are left out.
    """
    finder = _TitleFinder(text, lines)
    starts: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    path: list[tuple[int, str]] = []
    for entry in outline:
        title = " ".join(entry.title.split())
        path = [(level, name) for level, name in path if level < entry.level]
        path.append((entry.level, title))
        at = finder.find(entry, floor=starts[-1][0])
        starts.append((at, tuple(name for _, name in path)))
    starts.append((len(lines), ()))
    return [
        Section(path, first, last)
        for (first, path), (last, _) in pairwise(starts)
        if last > first and not (path and LISTING_TITLE.match(normal(path[-1])))
    ]


class _TitleFinder:
    """Finds titles among lines, each line normalised once."""

    def __init__(self, text: str, lines: Sequence[Line]) -> None:
        self._text = text
        self._lines = lines
        self._pages = [line.page for line in lines]
        self._normal: dict[int, str] = {}

    def find(self, entry: OutlineEntry, floor: int) -> int:
        """Return the line where the entry's title stands, or where its page starts, from `floor`.

        A page without lines counts as the next one that has some.
        """
        start = max(floor, bisect_left(self._pages, entry.page))
        end = min(bisect_left(self._pages, entry.page + 2), start + MAX_SEARCHED_LINES)
        wanted = normal(entry.title)
        for index in range(start, end):
            if wanted and self._stands_at(index, wanted):
                return index
        return start

    def _stands_at(self, index: int, wanted: str) -> bool:
        joined = ""
        for at in range(index, min(index + MAX_TITLE_LINES, len(self._lines))):
            joined = f"{joined} {self._normal_line(at)}".strip()
            if joined == wanted:
                return True
            if not joined or not wanted.startswith(joined):
                return False
        return False

    def _normal_line(self, index: int) -> str:
        if index not in self._normal:
            line = self._lines[index]
            end = min(line.end, line.start + 2 * MAX_PATH_CHARS)
            self._normal[index] = normal(self._text[line.start : end])
        return self._normal[index]


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
    r"^(?:(?:chapter|appendix|part|section)\s+[\dA-Z]+|(?:[A-Z]\.)?\d{1,2}(?:\.\d{1,2}){0,4}[.)]?)\s+[^\W\d_]",
    re.I,
)
_SENTENCE_END = re.compile(r"[.,;:!…)\]>»]$")


def _is_heading(text: str, lines: Sequence[Line], index: int, full: int) -> bool:
    """Whether a line looks like a title: short, on its own, and followed by running text."""
    line = lines[index]
    words = text[line.start : line.end]
    if not 4 <= len(words) <= min(MAX_HEADING_CHARS, max(40, full)) or _SENTENCE_END.search(words):
        return False
    if not (words[0].isupper() or words[0].isdigit()) or len(words.split()) > MAX_HEADING_WORDS:
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
