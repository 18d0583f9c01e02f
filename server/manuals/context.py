"""What of a manual goes to the model for one question, and how it is written there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.language.cleaning import neutralise, strip_hidden
from server.language.tokens import estimate_tokens
from server.llm.port import ContextPassage
from server.manuals.documents import PAGE_SEPARATOR
from server.manuals.ranking import ManualIndex, Ranked, question_terms

MIN_SHARE = 0.18
"""Under this share no passage bears on the question: half of the questions about another product
fall under it, and less than one in a hundred about this one (docs/retrieval.md)."""

MAX_SOURCES = 5
MAX_CANDIDATES = 40
"""Passages that are considered for a context; far more than any budget in use holds."""

NOTHING_FOUND = "(No passage of the manual bears on the question.)"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the context comes from, for the client: `score` is a share, 0..1."""

    page: int
    heading: str
    score: float


@dataclass(frozen=True, slots=True)
class Context:
    """The manual text chosen for one question.

    `passages` are best first, or in document order when they are the whole manual; none crosses a
    page break, and all are empty when nothing bears on the question. `sources` are the best
    distinct places, best first. `share` is the best passage's share of the question, `margin` how
    far the best passage of another section lies behind it (0: level, 1: there is no other).
    `tokens` is the estimate for the passages' text, `question_terms` how many distinct terms the
    question has.
    """

    passages: tuple[ContextPassage, ...] = ()
    sources: tuple[Source, ...] = ()
    share: float = 0.0
    margin: float = 0.0
    tokens: int = 0
    question_terms: int = 0


def choose_context(index: ManualIndex, question: str, *, budget_tokens: int) -> Context:
    """Return the whole manual when it fits into the budget, else its best passages for `question`.

    Passages are taken whole, best first, while they fit; the best one is always taken, cut to the
    budget at a page or line if it must be. Empty, with the share that was found, when nothing
    bears on the question.
    """
    asked = len(question_terms(question))
    found = index.search(question, MAX_CANDIDATES)
    share = max((ranked.share for ranked in found), default=0.0)
    if share < MIN_SHARE:
        return Context(share=share, question_terms=asked)
    manual = index.manual
    if len(manual.text) <= 8 * budget_tokens and estimate_tokens(manual.text) <= budget_tokens:
        passages = tuple(_whole_manual(index, found))
        tokens = sum(estimate_tokens(passage.text) for passage in passages)
    else:
        passages, tokens = _best_passages(index, found, budget_tokens)
    return Context(passages, _sources(found), share, _margin(found), tokens, asked)


def _best_passages(
    index: ManualIndex, found: Iterable[Ranked], budget_tokens: int
) -> tuple[tuple[ContextPassage, ...], int]:
    chosen: list[ContextPassage] = []
    tokens = 0
    for ranked in found:
        pieces = list(_pieces(index, ranked))
        cost = sum(estimate_tokens(piece.text) for piece in pieces)
        if tokens + cost <= budget_tokens:
            chosen += pieces
            tokens += cost
        elif not chosen and pieces:
            piece = _cut_to(pieces[0], budget_tokens)
            return (piece,), estimate_tokens(piece.text)
    return tuple(chosen), tokens


def _pieces(index: ManualIndex, ranked: Ranked) -> Iterator[ContextPassage]:
    """Yield a found passage, a piece for each page, without headers and footers at its ends."""
    text, passage = index.manual.text, ranked.passage
    first = bisect_left(index.running, (passage.start_char, 0))
    last = bisect_left(index.running, (passage.end_char, 0))
    page, start = passage.page, passage.start_char
    for begin, end in (*index.running[first:last], (passage.end_char, passage.end_char)):
        yield from _split_at_pages(text, start, begin, page, passage.heading, ranked.share)
        page += text.count(PAGE_SEPARATOR, start, end)
        start = end


def _cut_to(piece: ContextPassage, budget_tokens: int) -> ContextPassage:
    """Return the beginning of a piece that fits, cut after a word."""
    text = piece.text
    while estimate_tokens(text) > budget_tokens and " " in text:
        text = text[: max(1, len(text) * 9 // 10)].rsplit(None, 1)[0]
    return ContextPassage(piece.page, piece.heading, text, piece.start_char, piece.score)


def _whole_manual(index: ManualIndex, found: Iterable[Ranked]) -> Iterator[ContextPassage]:
    """Yield the manual's text in order: its passages, and what lies between them."""
    text = index.manual.text
    shares = {ranked.passage: ranked.share for ranked in found}
    end, page = 0, 1
    for passage in index.passages:
        yield from _split_at_pages(text, end, passage.start_char, page, "", 0.0)
        yield from _split_at_pages(
            text,
            passage.start_char,
            passage.end_char,
            passage.page,
            passage.heading,
            shares.get(passage, 0.0),
        )
        end = passage.end_char
        page = passage.page + text.count(PAGE_SEPARATOR, passage.start_char, end)
    yield from _split_at_pages(text, end, len(text), page, "", 0.0)


def _split_at_pages(
    text: str, start: int, end: int, page: int, heading: str, share: float
) -> Iterator[ContextPassage]:
    """Yield the visible text between two offsets, a piece for each page; `page` is the first's."""
    while start < end:
        stop = text.find(PAGE_SEPARATOR, start, end)
        stop = end if stop < 0 else stop
        piece = text[start:stop]
        if bare := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            yield ContextPassage(page, heading, bare, first, share)
        start, page = stop + 1, page + 1


def _sources(found: Iterable[Ranked]) -> tuple[Source, ...]:
    places: dict[tuple[int, str], Source] = {}
    for ranked in found:
        passage = ranked.passage
        key = (passage.page, passage.heading)
        places.setdefault(key, Source(passage.page, passage.heading, round(ranked.share, 3)))
        if len(places) == MAX_SOURCES:
            break
    return tuple(places.values())


def _margin(found: list[Ranked]) -> float:
    best = found[0]
    for ranked in found[1:]:
        if not _is_same_section(ranked.passage.heading, best.passage.heading):
            return max(0.0, 1 - ranked.score / best.score)
    return 1.0


def _is_same_section(one: str, other: str) -> bool:
    """Whether the headings are equal or one is above the other: a section and its own part."""
    shorter, longer = sorted((one, other), key=len)
    return one == other or (shorter != "" and longer.startswith(f"{shorter} > "))


def render_manual(context: Context, *, boundary: str) -> str:
    """Return the manual part of a prompt: every passage with its page, between two boundary lines.

    `boundary` is random and new for each request, so that nothing in the manual can close the
    part. Invisible characters are taken out and markers made harmless. A context without passages
    gives a part that says so; a request without any manual has no manual part at all.
    """
    lines = [f"<<<manual {boundary}>>>"]
    for passage in context.passages:
        lines.append(f"[page {passage.page}] {_clean(passage.heading, boundary)}".rstrip())
        lines += [_clean(passage.text, boundary), ""]
    if not context.passages:
        lines.append(NOTHING_FOUND)
    lines.append(f"<<<end of manual {boundary}>>>")
    return "\n".join(lines)


def _clean(text: str, boundary: str) -> str:
    return neutralise(strip_hidden(text)[0].replace(boundary, ""))
