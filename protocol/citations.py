"""From the pointer that a model writes to a verbatim quote from the manual.

A model never quotes on its own authority: `[MANUAL: p.12 "first words"]` only points. `resolve`
finds the words on that page and takes the quote from the manual's text, so that what a client
sees as a citation is the manual's, at offsets that anybody can check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from protocol.folding import fold
from protocol.sentences import content_words, find_breaks, split_sentences

MAX_PAGE: Final = 100_000
"""The highest page number that is taken for one; more is a slip of the model."""
MAX_QUOTE_CHARS: Final = 300
"""The longest quote: enough for a long sentence, and short enough to be read in passing."""
MAX_SEARCHED_CHARS: Final = 20_000
"""How much of a span of the context, and of a page, is searched: several times a dense page.
Formats without pages are one long page, and everybody waits while it is searched."""
MAX_OCCURRENCES: Final = 500
"""How many places where the words stand are looked at; more would tell nothing."""

DropReason = Literal["malformed", "page_not_in_context", "quote_not_found"]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pointer:
    """A page (from 1) and the words the model gave from it; no words is a bare pointer."""

    page: int
    words: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote: `cited_text` is `manual_text[start_char:end_char]`, on one page.

    `verified` is the outcome of comparing the two once more, so it is true whenever the quote is
    character for character the manual's.
    """

    page: int
    cited_text: str
    start_char: int
    end_char: int
    verified: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why there is no citation."""

    reason: DropReason


_POINTER: Final = re.compile(
    r"""\s*
    (?P<prefix>(?:pages?|pp|pg|p)\s*[.:]?\s*)?
    (?P<page>[0-9]{1,6})(?![0-9])
    (?:\s*(?:[-\u2010-\u2015\u2212,&/]|and|to|of)\s*(?:pages?|pp?\.?)?\s*[0-9]{1,6}(?![0-9]))*
    (?P<gap>\s*[-\u2010-\u2015:;,.]?\s*)
    (?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CLOSING: Final = {
    **dict.fromkeys('"“”„‟″＂', '"“”‟″＂'),
    **dict.fromkeys("'‘’‚‛′`", "'‘’‛′`"),
    **dict.fromkeys("«»", "«»"),
    **dict.fromkeys("‹›", "‹›"),
    "「": "」",
    "『": "』",
}


def parse_pointer(body: str) -> Pointer | None:
    """Return what the body of a citation points at; None when it is no pointer.

    Takes `p.12 "first words"`, `page 12: 'words'`, `pp. 12-13 “words”` (the first page counts),
    `p. 12`, `12`, and after `p.` also words without quotation marks.
    """
    match = _POINTER.fullmatch(body)
    if match is None or not 1 <= (page := int(match["page"])) <= MAX_PAGE:
        return None
    words = match["rest"].strip()
    if closing := _CLOSING.get(words[:1]):
        end = max(words.rfind(mark, 1) for mark in closing)
        words = words[1:end] if end > 0 else words[1:]
    elif any(map(str.isalnum, words)) and not (match["prefix"] and match["gap"]):
        return None
    has_words = sum(map(str.isalnum, words)) >= 2
    return Pointer(page, words.strip() if has_words else "")


def resolve(
    pointer: Pointer | None,
    manual_text: str,
    page_starts: Sequence[int],
    context: Sequence[tuple[int, int, int]],
    claim: str,
) -> Citation | Dropped:
    """Return the quote that `pointer` (of `parse_pointer`) points at, or why there is none.

    `manual_text` is all pages joined by form feeds, `page_starts` the offset of each page in it,
    `context` what the model was given, as (page, start_char, end_char): the offsets decide, the
    page is for readers. `claim` is the answer's text before the marker.

    Words must stand on the page, compared as `protocol.folding` does and as whole words; closing
    punctuation and an ellipsis at their end are not compared. Of several places the first inside
    the context is taken. A bare pointer gets the sentence of the context on that page that shares
    most content words with the claim, else the first one.
    """
    if pointer is None:
        return Dropped("malformed")
    page = _page_span(manual_text, page_starts, pointer.page)
    spans = _on_page(manual_text, page, context)
    if not spans:
        return Dropped("page_not_in_context")
    if any(map(str.isalnum, pointer.words)):
        found = _find_words(manual_text, page, spans, pointer.words)
        quote = found and _grow(manual_text, *found, page[1])
    else:
        quote = _best_sentence(manual_text, spans, claim)
    if quote is None:
        return Dropped("quote_not_found")
    start, end = quote
    cited_text = manual_text[start:end]
    verified = manual_text.startswith(cited_text, start) and len(cited_text) == end - start
    return Citation(pointer.page, cited_text, start, end, verified)


def _page_span(text: str, page_starts: Sequence[int], page: int) -> Span:
    if not 1 <= page <= len(page_starts):
        return 0, 0
    start = page_starts[page - 1]
    end = text.find("\f", start)
    return start, end if end >= 0 else len(text)


def _on_page(text: str, page: Span, context: Sequence[tuple[int, int, int]]) -> list[Span]:
    """Return the parts of the context that lie on the page, blank ones left out, in order."""
    clipped = ((max(start, page[0]), min(end, page[1])) for _, start, end in context)
    return sorted((start, end) for start, end in clipped if text[start:end].strip())


# What may stand at either end of the words without being compared.
_EDGES: Final = " .,;:!?…"


def _find_words(text: str, page: Span, spans: Sequence[Span], words: str) -> Span | None:
    """Return where the words stand: from their first to after their last character."""
    needle = fold(words).text.strip(_EDGES)
    is_open = words.endswith(("…", "..."))  # the last word may go on
    for start, end in dict.fromkeys((*spans, page)):  # what the model was given comes first
        stop = min(end, start + MAX_SEARCHED_CHARS)
        found = _find_needle(text, (start, stop), needle, is_open=is_open)
        if found:
            return found
    return None


def _find_needle(text: str, region: Span, needle: str, *, is_open: bool) -> Span | None:
    folded = fold(text[slice(*region)])
    at = -1
    for _ in range(MAX_OCCURRENCES):
        at = folded.text.find(needle, at + 1)
        if at < 0:
            break
        start = folded.origin(at)
        if at and folded.origin(at - 1) == start:
            continue  # inside a ligature
        first = region[0] + start
        after = region[0] + folded.origin(at + len(needle) - 1) + 1
        if not _joins(text, first) and (is_open or not _joins(text, after)):
            return first, after
    return None


# From Thai upwards most scripts put no blanks between words (and Hangul joins particles).
_FIRST_UNSPACED: Final = "\u0e00"
# With a digit on the other side these belong to a number: "5 A" does not stand in "0.5 A".
_NUMBER_MARKS: Final = frozenset(".,/-–−")


def _joins(text: str, at: int) -> bool:
    """Whether `at` is inside a number, or a word of a script that puts blanks between words."""
    before, after = text[max(at - 1, 0) : at], text[at : at + 1]
    if before.isalnum() and after.isalnum():
        return before < _FIRST_UNSPACED and after < _FIRST_UNSPACED
    if after in _NUMBER_MARKS:
        return before.isdigit() and text[at + 1 : at + 2].isdigit()
    return before in _NUMBER_MARKS and after.isdigit()


def _grow(text: str, start: int, words_end: int, page_end: int) -> Span:
    """Return the span from `start` to the end of the sentence in which the words end."""
    stop = min(page_end, start + 2 * MAX_QUOTE_CHARS)
    end = next((end for end in find_breaks(text, start, stop) if end >= words_end), stop)
    return _clip(text, start, max(end, words_end), words_end)


def _clip(text: str, start: int, end: int, words_end: int = 0) -> Span:
    """Return the span trimmed and no longer than a quote may be, cut at the end of a word."""
    limit = start + MAX_QUOTE_CHARS
    if end > limit:
        end = limit
        while end > start and not _may_cut(text, end):
            end -= 1
        end = end if end > start else limit
        if words_end <= limit:
            end = max(end, words_end)
    return start, start + len(text[start:end].rstrip())


def _may_cut(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    return before.isspace() or after.isspace() or (before >= _FIRST_UNSPACED and before.isalnum())


def _best_sentence(text: str, spans: Sequence[Span], claim: str) -> Span | None:
    """Return the sentence that shares most with the claim, its last sentence before all of it."""
    last = max(split_sentences(claim, 0, len(claim)), default=(0, 0))
    near, far = content_words(claim[slice(*last)]), content_words(claim)
    best: Span | None = None
    best_score = (-1, -1)
    searched = 0
    for start, end in spans:
        for sentence in split_sentences(
            text, start, min(end, start + MAX_SEARCHED_CHARS - searched)
        ):
            words = content_words(text[slice(*sentence)])
            score = len(words & near), len(words & far)
            if score > best_score:
                best, best_score = sentence, score
        searched += min(end - start, MAX_SEARCHED_CHARS - searched)
    return best and _clip(text, *best)
