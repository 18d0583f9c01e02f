"""A batch of rows as the stores insert it, and what became of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from server.storage.records import AnyRow, FeedbackRow, InteractionRow, Written
from server.storage.store import RowRefusedError

Key = tuple[str, str]
"""The id of a row and its tenant: ids are unique within a tenant."""


class Batch:
    """A batch in the order that all writers insert in, each key once; results in its own order."""

    def __init__(self, rows: Sequence[AnyRow]) -> None:
        self._rows = rows
        self.feedback: dict[Key, FeedbackRow] = {}
        self.interactions: dict[Key, InteractionRow] = {}
        try:
            for row in rows:
                if isinstance(row, FeedbackRow):
                    self.feedback.setdefault(key_of(row), row)
                else:
                    self.interactions.setdefault(key_of(row), row)
            self.feedback = dict(sorted(self.feedback.items()))
            self.interactions = dict(sorted(self.interactions.items()))
        except TypeError as error:
            raise RowRefusedError(f"a key is no text: {error}") from error

    def results(
        self, inserted: Set[tuple[bool, str, str]], kept: Mapping[Key, str]
    ) -> list[Written]:
        """Return one result per row.

        `inserted` holds the keys that this transaction added, tables told apart by `mark`; `kept`
        has the payload hash of each judgement that was there before.
        """
        left = set(inserted)
        found: list[Written] = []
        for row in self._rows:
            if mark(row) in left:
                left.remove(mark(row))
                found.append("inserted")
            elif isinstance(row, FeedbackRow) and self._first_hash(row, kept) != row.payload_sha256:
                found.append("conflict")
            else:
                found.append("duplicate")
        return found

    def _first_hash(self, row: FeedbackRow, kept: Mapping[Key, str]) -> str:
        key = key_of(row)
        return kept.get(key, self.feedback[key].payload_sha256)


def key_of(row: AnyRow) -> Key:
    """Return the key of a row in its table: ids are unique within a tenant."""
    if isinstance(row, FeedbackRow):
        return row.event_id, row.tenant
    return row.response_id, row.tenant


def mark(row: AnyRow) -> tuple[bool, str, str]:
    """Return the key of a row, with true for feedback in front."""
    return isinstance(row, FeedbackRow), *key_of(row)
