"""Which queries answer a question for counts, from the coarsest sums that can tell.

Whole days come from spans and daily roll-ups. Roll-ups name no person and know no part of a day:
what concerns a person, and the parts of days at both ends of a range, is counted from the
judgements themselves, in terms of the same bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from server.storage.columns import DAY_MS, confidence_bin
from server.storage.spans import Days, Piece, days_queries, lengths_of, pieces, span_level
from server.storage.store import Filter, GroupBy
from server.storage.tallies import DIMENSIONS, LEVELLED, Query, level_of, row_tests

_COLUMN_OF: dict[str, str] = {name: name for name in get_args(GroupBy)} | {"week": "day"}

_BY_PRODUCT = level_of(["product_id"])

Range = tuple[int | None, int | None]
"""From the first up to the last, or without end."""


class Counting:
    """One question for counts: `by` groups, of the judgements that pass `where`.

    Raises `KeyError` for a group that there is not. Ask for `days_queries` first, in the same
    snapshot of the store, when there are any; `mark` is that of `Query`.
    """

    def __init__(self, by: Sequence[GroupBy], where: Filter, mark: str) -> None:
        self._columns = [_COLUMN_OF[name] for name in by]
        self._where = where
        self._mark = mark
        self._kept = [name for name in LEVELLED if name in {*self._columns, *_filtered(where)}]
        self._lengths: tuple[int, ...] = ()
        self._days: Range | None = None
        if "user_id" not in by and where.user_id is None:
            self._days = _whole_days(where)
        if self._days is not None:
            self._lengths = lengths_of(self._kept, by_day="day" in self._columns)
        if "action" in by:
            self._lengths = ()

    def days_queries(self) -> tuple[Query, Query] | None:
        """Return what to ask of the days, None when spans cannot help."""
        if self._days is None or not self._lengths:
            return None
        level = span_level(self._kept)
        return days_queries(self._where.tenant, *self._days, self._mark, level)

    def queries(self, days: Days | None = None) -> list[Query]:
        """Return the queries whose results `merge` adds up, none of them counting a row twice."""
        since, until = self._where.since, self._where.until
        if self._days is None:
            return [self._from_rows((since, until))]
        first, last = self._days
        made = self._from_days(first, last, days)
        if since is not None and first is not None and since % DAY_MS:
            made.append(self._from_rows((since, first * DAY_MS)))
        if until is not None and last is not None and until % DAY_MS:
            made.append(self._from_rows((last * DAY_MS, until)))
        return made

    def from_rows(self) -> Query:
        """Return the query that asks the judgements alone."""
        return self._from_rows((self._where.since, self._where.until))

    def _from_days(self, first: int | None, last: int | None, days: Days | None) -> list[Query]:
        if days is not None:
            found = pieces(self._kept, days, first, last, self._lengths)
            return [self._sums(piece) for piece in found]
        tests = [f"day >= {first}"] if first else []
        tests += [f"day < {last}"] if last is not None else []
        return [self._sums(Piece(False, level_of(self._kept), tuple(tests)))]

    def _sums(self, piece: Piece) -> Query:
        query = Query(self._mark)
        where = [f"tenant = {query.give(self._where.tenant)}", f"level = {piece.level}"]
        where += piece.tests
        for name in DIMENSIONS:
            value = getattr(self._where, name)
            if value is not None:
                where.append(f"{name} = {query.give(value)}")
        where += self._product_tests(query)
        where += self._confidence_tests(query)
        shown, sums = [*self._columns, "action"], "SUM(weight), SUM(events), SUM(score_sum)"
        if piece.spans:
            query.beside = True
            shown, sums = self._columns, piece.sums
        groups = ", ".join(shown) or "tenant"
        query.text = (
            f"SELECT {', '.join([*shown, sums])} FROM {self._source(piece)}"  # noqa: S608 - our own names and numbers
            f" WHERE {' AND '.join(where)} GROUP BY {groups}"
        )
        return query

    def _source(self, piece: Piece) -> str:
        """Return the table; SQLite, which does not count rows, is told of the index by product."""
        indexed = "span = 1" in piece.tests if piece.spans else piece.level == _BY_PRODUCT
        if self._mark == "?" and self._where.product_id and indexed:
            return f"{piece.table} INDEXED BY {piece.table}_product"
        return piece.table

    def _product_tests(self, query: Query) -> list[str]:
        """Return what lets the database see that the index by product serves."""
        product = self._where.product_id
        if not product:
            return []
        if self._mark == "?":
            return ["product_id <> ''"]
        return ["product_id <> ''", f"md5(product_id) = md5({query.give(product)})"]

    def _from_rows(self, times: Range) -> Query:
        query = Query(self._mark)
        tests = row_tests(self._where, query, "", times)
        tests += self._confidence_tests(query)
        named = [f"received_at / {DAY_MS}" if name == "day" else name for name in self._columns]
        groups = ", ".join([*named, "action"])
        query.text = (
            f"SELECT {groups}, SUM(weight), COUNT(*), COALESCE(SUM(score), 0) FROM feedback"  # noqa: S608 - our own names
            f" WHERE {' AND '.join(tests)} GROUP BY {groups}"
        )
        return query

    def _confidence_tests(self, query: Query) -> list[str]:
        least = self._where.min_confidence
        return [] if least is None else [f"confidence_bin >= {query.give(confidence_bin(least))}"]


def _whole_days(where: Filter) -> Range | None:
    """Return the days that lie within the times of a filter, None when there can be none."""
    first = None if where.since is None else -(-where.since // DAY_MS)
    last = None if where.until is None else where.until // DAY_MS
    return None if first is not None and last is not None and last <= first else (first, last)


def _filtered(where: Filter) -> list[str]:
    """Return the dimensions that a filter asks about."""
    names = [name for name in DIMENSIONS if getattr(where, name) is not None]
    return [*names, "confidence_bin"] if where.min_confidence is not None else names
