"""Decisions that a later one of the same person replaces: the last word counts, once.

A person who accepts an answer and then rejects it has decided once. The earlier judgement stays as
it was written but for its weight, which becomes 0, and its part is taken out of the roll-ups.
Without a user id nobody can tell whose a judgement is: each counts. So do scores and dismissals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from server.storage.batches import Key
from server.storage.months import least_id
from server.storage.records import DECIDED, FeedbackRow

LOOK_BACK_MS = 60 * 86_400_000
"""How far back, by the time in its id, a decision is replaced: few partitions are looked into."""


class Decision(NamedTuple):
    """What tells whether a decision is replaced."""

    event_id: str
    tenant: str
    response_id: str
    user_id: str
    item_id: str | None
    received_at: int

    @property
    def subject(self) -> tuple[str, ...]:
        """Who decided about what."""
        return self.tenant, self.response_id, self.user_id, self.item_id or ""


def decisions_of(rows: Iterable[FeedbackRow]) -> list[Decision]:
    """Return the rows that decide, count, and are somebody's."""
    return [
        Decision(
            row.event_id, row.tenant, row.response_id, row.user_id, row.item_id, row.received_at
        )
        for row in rows
        if row.user_id is not None and row.action in DECIDED and row.weight > 0
    ]


def oldest_id(decisions: Sequence[Decision]) -> str:
    """Return the least id of a decision that one of these may replace."""
    return least_id(max(0, min(one.received_at for one in decisions) - LOOK_BACK_MS))


def replaced(decisions: Iterable[Decision]) -> list[Key]:
    """Return the keys of all but the last decision on each subject, in the order of keys."""
    last: dict[tuple[str, ...], Decision] = {}
    gone: list[Key] = []
    for one in decisions:
        other = last.setdefault(one.subject, one)
        if (other.received_at, other.event_id) < (one.received_at, one.event_id):
            last[one.subject] = one
            gone.append((other.event_id, other.tenant))
        elif other.event_id != one.event_id:
            gone.append((one.event_id, one.tenant))
    return sorted(gone)
