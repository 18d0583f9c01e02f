"""Many rows in one SQLite statement.

The interpreter's lock is given back and taken again at every step of a statement. With a busy event
loop beside it the taking can last milliseconds, so that a thousand statements wait a thousand
times; a few large ones do the same work nearly undisturbed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain

from server.storage.columns import Values

SIZES = (128, 16, 1)
"""Rows of one statement, as few kinds as keep all of them prepared; 128 rows of 27 columns are
3,500 of the 32,766 values that a statement may have."""


class Insert:
    """Inserts rows of `columns` into `table`; `conflict` says what to do with those there are."""

    def __init__(self, table: str, columns: Sequence[str], conflict: str = "DO NOTHING") -> None:
        row = f"({', '.join('?' * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
        self._plain = {size: head + ", ".join([row] * size) for size in SIZES}
        self._merging = {
            size: f"{text} ON CONFLICT {conflict}" for size, text in self._plain.items()
        }

    def new(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> list[bool]:
        """Insert rows inside a transaction; tell of each whether it was not there yet."""
        told: list[bool] = []
        for some in _cut(rows):
            if len(some) > 1:
                try:
                    connection.execute(self._plain[len(some)], _flat(some))
                except sqlite3.IntegrityError:
                    pass  # nothing of the statement stays; which row it was shows one by one
                else:
                    told += [True] * len(some)
                    continue
            one = self._merging[1]
            told += [connection.execute(one, values).rowcount > 0 for values in some]
        return told

    def merge(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> None:
        """Insert rows of different keys, or do what the conflict says."""
        for some in _cut(rows):
            connection.execute(self._merging[len(some)], _flat(some))


def _cut(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    at = 0
    for size in SIZES:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


def _flat(rows: Sequence[Values]) -> list[object]:
    return list(chain.from_iterable(rows))
