"""What became of a judgement, and what its sender is told when it was not stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.errors import EventError
from server.storage.records import AnyRow, FeedbackRow, Written

Level = Literal["committed", "logged"]


@dataclass(frozen=True, slots=True)
class Ack:
    """What a sender may rely on: `committed` in the store, or `logged` in the durable journal.

    `duplicate` is what the store says: the row was there before this commit. After a commit whose
    reply was lost that can be the sender's own first attempt.
    """

    level: Level
    duplicate: bool


COMMITTED: dict[Written, Ack] = {
    "inserted": Ack("committed", duplicate=False),
    "duplicate": Ack("committed", duplicate=True),
}
"""Acknowledgements after a commit, made once: there are thousands a second."""

WriterEvent = Literal[
    "committed",  # acknowledged after the commit
    "duplicate",  # acknowledged, and was there before
    "conflict",  # refused: the id is in use with other content
    "refused",  # refused by the store, now a dead letter
    "logged",  # acknowledged after the journal took it
    "nacked",  # the sender was told to send again
    "full",  # the sender was told at once, as too many bytes wait
    "retry",  # one attempt to commit failed
    "permanent",  # the failure will not pass by itself: disk full, read-only
    "journal_failed",  # the journal did not take a batch
    "interaction_lost",  # neither store nor journal nor memory had room
]


def event_id_of(row: AnyRow) -> str | None:
    """Return the id by which the sender knows the row; an interaction has no sender."""
    return row.event_id if isinstance(row, FeedbackRow) else None


def conflict(row: AnyRow) -> EventError:
    """Return the refusal of an id that is in use with other content."""
    message = "`event_id` was used before with other content; send this under a new id"
    return EventError("conflict", message, param="event_id", event_id=event_id_of(row))


def refused(row: AnyRow) -> EventError:
    """Return the refusal of a row that the store can never hold."""
    message = "The store cannot hold this event; look at its texts and numbers"
    return EventError("invalid_event", message, event_id=event_id_of(row))


def unavailable(row: AnyRow, retry_after_ms: int) -> EventError:
    """Return the request to send again: nothing is certain, and ids make it harmless."""
    message = "It could not be stored for certain; keep it and send it again under the same id"
    return EventError(
        "store_unavailable", message, event_id=event_id_of(row), retry_after_ms=retry_after_ms
    )


def draining(row: AnyRow) -> EventError:
    """Return the request to send again elsewhere: this process ends."""
    return EventError("draining", "Connect again and resend", event_id=event_id_of(row))
