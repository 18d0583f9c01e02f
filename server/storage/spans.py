"""Sums over spans of whole days, so that a question about a year reads few rows.

The daily roll-ups answer what concerns one dimension and some weeks. Two dimensions at once, or
many days, would read nearly as many of them as there are judgements. Spans of 1, 4, 16 and 64 days
that are over are therefore summed up once more, behind the writers' backs, with up to two
dimensions kept apart; a range of days is then covered by the largest spans that fit into it.

A span is never wrong: every transaction that adds to a day counts up the day's revision, a span
keeps the revision of its days as it read them, and a question takes it only while that is still so.
What no span holds (today, a day that got a late judgement, a span that would have saved little) is
read from the daily roll-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from server.storage.columns import NO_BIN, Values
from server.storage.tallies import ALL_APART, LEVELLED, TOGETHER, Query, level_of

SPANS = (64, 16, 4, 1)
"""Days of each span; all begin at multiples of their length. A year is covered by about fifteen."""

WORTH = 2
"""A span is kept when it has at most one row for so many that it spares."""

LEAST_EVENTS = 2000
"""Spans of fewer judgements are not summed up: reading each of them takes a millisecond or two."""

DONE = TOGETHER
"""Level under which a span is noted when all of its levels were looked at. With nothing kept apart
the daily roll-ups are few, so that no span is kept at this level."""

SUMS = {
    "accepted": ("accept", "weight"),
    "rejected": ("reject", "weight"),
    "modified": ("modify", "weight"),
    "dismissed": ("dismiss", "weight"),
    "rated": ("rate", "events"),
    "score_sum": ("rate", "score_sum"),
}
"""What a span sums up beside each other: of which action, and what of its roll-ups."""

SPAN_COLUMNS = ("tenant", "level", "span", "day", "place", *SUMS, *LEVELLED)
"""Columns of a sum over a span; `place` numbers the sums of one level and span."""

_LEVEL_OF: dict[tuple[str, ...], int] = {
    **{(name,): level for level, name in enumerate(LEVELLED, TOGETHER + 1)},
    **{pair: level for level, pair in enumerate(combinations(LEVELLED, 2), ALL_APART + 1)},
}
_KEPT_AT = {level: kept for kept, level in _LEVEL_OF.items()}


@dataclass(frozen=True, slots=True)
class Days:
    """What is known of the days of one tenant: `revisions` of those that hold judgements, and
    `built`, the revision that each span (level, days, first day) was made from."""

    revisions: Mapping[int, int]
    built: Mapping[tuple[int, int, int], int]

    def revision(self, span: int, first: int) -> int:
        """Return the revision of a span as it is now; 0 when its days hold nothing."""
        return sum(self.revisions.get(day, 0) for day in range(first, first + span))

    def holds(self, level: int, span: int, first: int) -> bool:
        """Tell whether a span was summed up and nothing was added to it since."""
        made_from = self.built.get((level, span, first))
        return made_from is not None and made_from == self.revision(span, first)

    def due(self, span: int, today: int) -> list[int]:
        """Return the spans of a length that are over and to be summed up, by their first day."""
        firsts = sorted({day - day % span for day in self.revisions})
        return [one for one in firsts if one + span <= today and not self.holds(DONE, span, one)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a range of days: a level of spans or of days, and conditions that pick the part."""

    spans: bool
    level: int
    tests: tuple[str, ...]

    @property
    def table(self) -> str:
        """Where the sums are."""
        return "feedback_spans" if self.spans else "feedback_days"

    @property
    def sums(self) -> str:
        """SQL of `SUMS`."""
        if self.spans:
            return ", ".join(f"SUM({name})" for name in SUMS)
        return ", ".join(
            f"SUM(CASE WHEN action = '{action}' THEN {column} ELSE 0 END)"
            for action, column in SUMS.values()
        )


def lengths_of(kept: Sequence[str], *, by_day: bool = False) -> tuple[int, ...]:
    """Return the lengths of the spans that can answer, largest first; none: the days must.

    For one dimension a day has its own sums already.
    """
    if tuple(kept) not in _LEVEL_OF:
        return ()
    return tuple(n for n in SPANS if (n > 1 or len(kept) > 1) and not (by_day and n > 1))


def pieces(
    kept: Sequence[str], days: Days, first: int | None, last: int | None, lengths: Sequence[int]
) -> list[Piece]:
    """Return what to read for the days from `first` up to `last`, no day twice."""
    known = days.revisions
    level = _LEVEL_OF[tuple(kept)]
    # Before the first day there is nothing: a span may begin there too.
    at = min(known, default=0) // SPANS[0] * SPANS[0] if first is None else first
    end = max(known, default=-1) + 1 if last is None else last
    spans: dict[int, list[int]] = {}
    rest: list[int] = []
    while at < end:
        for span in lengths:
            if at % span == 0 and at + span <= end and days.holds(level, span, at):
                spans.setdefault(span, []).append(at)
                at += span
                break
        else:
            if at in known:
                rest.append(at)
            at += 1
    made = [
        Piece(True, level, (f"span = {span}", _one_of(firsts))) for span, firsts in spans.items()
    ]
    if rest:
        whole = not spans
        picked = f"day BETWEEN {rest[0]} AND {rest[-1]}" if whole else _one_of(rest)
        made.append(Piece(False, level_of(kept), (picked,)))
    return made


def _one_of(days: Sequence[int]) -> str:
    return f"day IN ({', '.join(map(str, days))})"


def days_queries(
    tenant: str, first: int | None, last: int | None, mark: str, level: int | None = None
) -> tuple[Query, Query]:
    """Return the queries whose results `days_of` reads, of the days from `first` up to `last`, and
    of the spans of one level or of all."""
    tests = "" if first is None else f" AND day >= {first}"
    tests += "" if last is None else f" AND day < {last}"
    revisions, built = Query(mark), Query(mark)
    revisions.text = (
        "SELECT day, SUM(revision) FROM feedback_changes"  # noqa: S608 - numbers
        f" WHERE tenant = {revisions.give(tenant)}{tests} GROUP BY day"
    )
    tests += "" if level is None else f" AND level = {level}"
    built.text = (
        "SELECT level, span, day, revision FROM feedback_built"  # noqa: S608 - numbers
        f" WHERE tenant = {built.give(tenant)}{tests}"
    )
    return revisions, built


def days_of(revisions: Iterable[Sequence[Any]], built: Iterable[Sequence[Any]]) -> Days:
    """Return what the two queries found."""
    return Days(
        {day: int(revision) for day, revision in revisions},
        {(level, span, day): revision for level, span, day, revision in built},
    )


@dataclass(frozen=True, slots=True)
class Span:
    """One level of one span that is to be summed up."""

    tenant: str
    days: int
    first: int
    level: int

    @property
    def last(self) -> int:
        """The day after it."""
        return self.first + self.days

    def events(self, mark: str) -> Query:
        """Return the query for the number of judgements in the span."""
        query = Query(mark)
        query.text = (
            "SELECT COALESCE(SUM(events), 0) FROM feedback_days"  # noqa: S608 - numbers
            f" WHERE tenant = {query.give(self.tenant)} AND level = {TOGETHER}"
            f" AND day >= {self.first} AND day < {self.last}"
        )
        return query

    @property
    def kept(self) -> tuple[str, ...]:
        """The dimensions kept apart."""
        return _KEPT_AT[self.level]

    def queries(self, days: Days, mark: str) -> list[Query]:
        """Return the queries whose results `values` adds up."""
        smaller = [n for n in lengths_of(self.kept) if n < self.days]
        groups = ", ".join(self.kept)
        made = []
        for piece in pieces(self.kept, days, self.first, self.last, smaller):
            query = Query(mark)
            tests = [f"tenant = {query.give(self.tenant)}", f"level = {piece.level}", *piece.tests]
            query.text = (
                f"SELECT {groups}, {piece.sums}, COUNT(*) FROM {piece.table}"  # noqa: S608 - our own names and numbers
                f" WHERE {' AND '.join(tests)} GROUP BY {groups}"
            )
            made.append(query)
        return made

    def values(self, results: Iterable[Sequence[Any]]) -> list[Values]:
        """Return values of `SPAN_COLUMNS`; none when they would spare too little."""
        groups: dict[Values, list[float]] = {}
        spared = 0
        for *row, rows in results:
            sums = groups.setdefault(tuple(row[: -len(SUMS)]), [0.0] * len(SUMS))
            for place, value in enumerate(row[-len(SUMS) :]):
                sums[place] += float(value)  # PostgreSQL sums integers as decimals
            spared += rows
        if len(groups) * WORTH > spared:
            return []
        made: list[Values] = []
        for place, (values, (*weights, rated, score_sum)) in enumerate(groups.items()):
            apart = dict(zip(self.kept, values, strict=True))
            dims = [apart.get(one, NO_BIN if one == "confidence_bin" else "") for one in LEVELLED]
            key = (self.tenant, self.level, self.days, self.first, place)
            made.append((*key, *weights, int(rated), int(score_sum), *dims))
        return made


def levels_of(whole: Span) -> Iterator[Span]:
    """Yield all levels of a span."""
    for kept, level in _LEVEL_OF.items():
        if whole.days in lengths_of(kept):
            yield Span(whole.tenant, whole.days, whole.first, level)


def span_level(kept: Sequence[str]) -> int:
    """Return the level at which spans keep these dimensions apart."""
    return _LEVEL_OF[tuple(kept)]
