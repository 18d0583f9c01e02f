"""Where sentences begin and end, in text as it comes out of a PDF.

Such text is cut into lines by the page's width, lists lose their indentation, bold words stand on
lines of their own, and tables become short lines. So lines are first joined to blocks, then
blocks are cut at full stops that end a sentence.
"""

from __future__ import annotations

import re
from itertools import pairwise

from server.language.terms import STOP_WORDS

_ABBREVIATIONS = """
e.g i.e eg ie etc fig figs no nos vol vs approx ca cf dr mr mrs ms st prof inc ltd co corp dept est
max min sec ch chap p pp ref resp tel temp ver rev art abb bzw z.b usw par ex env u.s u.k a.m p.m
jan feb mar apr jun jul aug sep sept oct nov dec
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
"""Words after which a full stop does not end a sentence, folded, without their last stop."""

LONGEST_ABBREVIATION = 12

_LINE = re.compile(r"[^\n\f\r]+")
_BULLET = re.compile(
    r"\s*(?:[•●○◦▪■□►▶▸‣⁃∙·*–—-]\s|[\uf000-\uf0ff]\s*|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s)"
)
_TABLE = re.compile(r"\S(?:\t| {3,}|\s*\|\s*)\S")
_ENDS = re.compile(r"[.!?…。！？:;]['\"”’»)\]]*\s*$")
_STOP = re.compile(r"(?:(?<![.!?…])[.!?…]+['\"”’»)\]]*(?=\s)|[。！？]['\"”’」』)\]]*)")
_NEXT = re.compile(r"\s*[\"'“‘«(\[]*(\w?)")

Span = tuple[int, int]


def sentences(text: str) -> list[Span]:
    """Return the spans of the sentences of `text`, in order and without overlap.

    `text[start:end]` has no white space at either side and is never empty; every visible character
    is in exactly one span. A heading, a list entry and a table line are sentences of their own.
    """
    spans: list[Span] = []
    for start, end in _blocks(text):
        spans += _cut(text, start, end)
    return spans


def _blocks(text: str) -> list[Span]:
    """Return runs of lines that read on from one to the next."""
    trimmed = (_trim(text, *match.span()) for match in _LINE.finditer(text))
    lines = [(start, end) for start, end in trimmed if start < end]
    if not lines:
        return []
    widths = sorted(end - start for start, end in lines)
    full = max(40, widths[len(widths) * 9 // 10] * 0.7)
    blocks = [lines[0]]
    for previous, line in pairwise(lines):
        if _reads_on(text, previous, line, full):
            blocks[-1] = (blocks[-1][0], line[1])
        else:
            blocks.append(line)
    return blocks


def _reads_on(text: str, previous: Span, line: Span, full: float) -> bool:
    gap = text[previous[1] : line[0]]
    if gap.count("\n") > 1 or "\f" in gap:
        return False
    before, after = text[slice(*previous)], text[slice(*line)]
    if _BULLET.match(after) or _TABLE.search(after) or _TABLE.search(before):
        return False
    if after[0] in ",.;:)]!?" or after[0].islower():
        return not _ENDS.search(before) or after[0] in ",.;:)]!?"
    if _ENDS.search(before):
        # The cut at the full stop follows; only a colon or a short line ends a block here.
        return before[-1] not in ":;" and len(before) >= full
    last = before.rsplit(None, 1)[-1]
    return before[-1] in ",(-–/&" or last in STOP_WORDS or len(before) >= full


def _cut(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    begin = start
    bullet = _BULLET.match(text, start, end)
    search_from = bullet.end() if bullet else start
    for match in _STOP.finditer(text, search_from, end):
        if match.start() >= search_from and _ends_sentence(text, begin, match, end):
            spans.append(_trim(text, begin, match.end()))
            begin = match.end()
    if text[begin:end].strip():
        spans.append(_trim(text, begin, end))
    return spans


def _ends_sentence(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    if match.group()[0] not in ".…":
        return True
    following = _NEXT.match(text, match.end(), end)
    letter = following.group(1) if following else ""
    if letter.islower():
        return False
    words = text[max(begin, match.start() - LONGEST_ABBREVIATION) : match.start()].split()
    last = words[-1].lstrip("([{\"'“‘«") if words else ""
    if match.group()[0] == "…" or not last:
        return True
    if last.lower() in ABBREVIATIONS:
        return last.lower() == "etc" and letter.isupper()
    return not (len(last) == 1 and last.isalpha() and last.isupper() and letter.isupper())


def _trim(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
