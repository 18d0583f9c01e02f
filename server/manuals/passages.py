"""A manual's text cut into passages: 150 to 250 words inside one section, with their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.language.sentences import sentences
from server.language.tokens import WORD
from server.manuals.documents import ManualText, Passage
from server.manuals.headings import sections_of, short_path
from server.manuals.layout import (
    Line,
    full_line_chars,
    is_listing,
    page_at,
    page_lines,
    page_offsets,
    split_running_lines,
)

GOAL_WORDS = 200
MAX_WORDS = 250
MAX_LISTING_SHARE = 0.5
"""When more of the pages than this look like listings, they are the manual; none is dropped."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The passages of a manual in document order, and the running lines that some of them hold.

    `running` are spans of the whole text, in order: page headers and footers, which say nothing
    about the passage around them. `line_chars` is how long the manual's full lines are.
    """

    passages: tuple[Passage, ...]
    running: tuple[tuple[int, int], ...]
    line_chars: int


def cut_passages(manual: ManualText) -> Cut:
    """Cut a manual into passages.

    Contents and index pages are left out. A passage may run over a page break; `page` is where it
    starts.
    """
    text = manual.text
    offsets = page_offsets(text)
    pages = page_lines(text, offsets)
    listings = [is_listing(text, page) for page in pages]
    if sum(listings) > MAX_LISTING_SHARE * len(pages):
        listings = [False] * len(pages)
    kept, running = split_running_lines(text, pages)
    lines = [
        line for page, listing in zip(kept, listings, strict=True) if not listing for line in page
    ]
    passages: list[Passage] = []
    for section in sections_of(manual, lines):
        heading = short_path(section.path)
        for run in _runs(lines[section.first : section.last]):
            passages += [
                Passage(page_at(offsets, start), heading, start, end)
                for start, end in _cut_run(text, run)
            ]
    spans = tuple((line.start, line.end) for line in running)
    return Cut(tuple(passages), spans, full_line_chars(lines))


def _runs(lines: Sequence[Line]) -> list[list[Line]]:
    """Split lines where pages between them were left out."""
    runs = [[lines[0]]]
    for line in lines[1:]:
        if line.page > runs[-1][-1].page + 1:
            runs.append([])
        runs[-1].append(line)
    return runs


def _cut_run(text: str, lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Cut lines of one section into even pieces at the ends of sentences."""
    start, end = lines[0].start, lines[-1].end
    # One by one: a manual without sections is one run, and a single call would hold up the event
    # loop's thread for as long as it takes.
    words = sum(1 for _ in WORD.finditer(text, start, end))
    if words <= MAX_WORDS:
        return [(start, end)]
    pieces = max(2, round(words / GOAL_WORDS))
    goal = words / pieces
    spans: list[tuple[int, int]] = []
    begin, size = start, 0
    done = 0
    last = start
    for one, two, added in _units(text, start, end):
        if size and done + size + added / 2 > goal * (len(spans) + 1):
            spans.append((begin, last))
            begin, done, size = one, done + size, 0
        size += added
        last = two
    spans.append((begin, last))
    return spans


def _units(text: str, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return sentences with their words, cut at lines and then at words where far too long."""
    units: list[tuple[int, int, int]] = []
    for one, two in sentences(text[start:end]):
        one, two = one + start, two + start
        words = _count(text, one, two)
        if words <= MAX_WORDS // 2:
            units.append((one, two, words))
            continue
        found = list(WORD.finditer(text, one, two))
        step = MAX_WORDS // 4
        for index in range(0, len(found), step):
            part = found[index : index + step]
            units.append((part[0].start(), part[-1].end(), len(part)))
    return units


def _count(text: str, start: int, end: int) -> int:
    return len(WORD.findall(text, start, end))
