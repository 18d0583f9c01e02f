"""The store of record in memory: the twin that tests run on, and `--store memory:` for a trial.

Nothing outlives the process. It keeps the contract of the other stores, refusals included, by
checking rows with the same function.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from server.storage.batches import Batch, Key, key_of
from server.storage.columns import confidence_bin, feedback_values, interaction_values
from server.storage.letters import is_about, plain
from server.storage.records import AnyRow, DeadLetter, FeedbackRow, InteractionRow, Written
from server.storage.store import Filter, GroupBy, Judged, RowRefusedError, Tally
from server.storage.tallies import DAY_MS, DIMENSIONS, merge


@dataclass
class MemoryStore:
    """A store whose tables are dictionaries; see the port for its methods.

    Sums by day name no person, so they keep counting what was erased, as roll-ups do.
    """

    _feedback: dict[Key, FeedbackRow] = field(default_factory=dict)
    _interactions: dict[Key, InteractionRow] = field(default_factory=dict)
    _letters: dict[int, DeadLetter] = field(default_factory=dict)
    _erased: list[FeedbackRow] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def open(self) -> None:
        """Nothing to open."""

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Keep all rows, or refuse the batch."""
        batch = Batch(rows)
        for row in rows:
            _check(row)
        new_feedback = {k: r for k, r in batch.feedback.items() if k not in self._feedback}
        new_interactions = {
            k: r for k, r in batch.interactions.items() if k not in self._interactions
        }
        kept = {
            key: self._feedback[key].payload_sha256
            for key in batch.feedback
            if key in self._feedback
        }
        self._feedback |= new_feedback
        self._interactions |= new_interactions
        inserted = {(True, *key) for key in new_feedback}
        inserted |= {(False, *key) for key in new_interactions}
        return batch.results(inserted, kept)

    async def put_dead_letter(self, original: bytes, reason: str, received_at: int) -> None:
        """Keep the bytes."""
        letter_id = next(self._ids)
        self._letters[letter_id] = DeadLetter(
            id=letter_id, received_at=received_at, original=original, reason=plain(reason)
        )

    async def dead_letters(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return letters by id."""
        later = (letter for letter in self._letters.values() if letter.id > after)
        return list(itertools.islice(later, limit))

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Forget letters."""
        return sum(self._letters.pop(one, None) is not None for one in ids)

    async def interaction(self, response_id: str, tenant: str = "") -> InteractionRow | None:
        """Return one interaction."""
        return self._interactions.get((response_id, tenant))

    async def feedback_of(self, response_id: str, tenant: str = "") -> list[FeedbackRow]:
        """Return the judgements of one answer."""
        found = [
            row
            for row in self._feedback.values()
            if row.response_id == response_id and row.tenant == tenant
        ]
        return sorted(found, key=lambda row: (row.received_at, row.event_id))

    async def tally(self, by: Sequence[GroupBy], where: Filter) -> list[Tally]:
        """Count judgements; confidence is told apart by bins, as the roll-ups do."""
        floor = None if where.min_confidence is None else confidence_bin(where.min_confidence)
        rows = [row for row in self._feedback.values() if _matches(row, where)]
        if "user_id" not in by and where.user_id is None:
            rows += [row for row in self._erased if _matches(row, where) and _whole(row, where)]
        return merge(
            by,
            [
                (*(_column(row, name) for name in by), row.action, row.weight, 1, row.score or 0)
                for row in rows
                if floor is None or confidence_bin(row.confidence) >= floor
            ],
        )

    async def judged(self, where: Filter, after: str = "") -> AsyncIterator[Judged]:
        """Stream judgements with their interactions, as they are now."""
        for row in sorted(self._feedback.values(), key=lambda row: row.event_id):
            sure = where.min_confidence is None or (row.confidence or -1) >= where.min_confidence
            if row.event_id > after and sure and _matches(row, where):
                yield Judged(row, self._interactions.get((row.response_id, row.tenant)))

    async def erase_user(self, user_id: str, tenant: str = "") -> dict[str, int]:
        """Forget one person's rows."""
        owned: list[FeedbackRow] = [
            row
            for row in self._feedback.values()
            if row.user_id == user_id and row.tenant == tenant
        ]
        asked = [
            row
            for row in self._interactions.values()
            if row.user_id == user_id and row.tenant == tenant
        ]
        for row in owned:
            del self._feedback[key_of(row)]
            self._erased.append(_nameless(row))
        for question in asked:
            del self._interactions[key_of(question)]
        theirs = [
            letter.id
            for letter in self._letters.values()
            if is_about(letter.original, user_id, tenant)
        ]
        dropped = await self.drop_dead_letters(theirs)
        return {"feedback": len(owned), "interactions": len(asked), "dead_letters": dropped}

    async def check(self) -> None:
        """Memory is there."""

    async def aclose(self) -> None:
        """Nothing to close."""


def _check(row: AnyRow) -> None:
    """Refuse what the other stores refuse; raises `RowRefusedError`."""
    if not isinstance(row, FeedbackRow):
        interaction_values(row)
        return
    feedback_values(row)
    if row.score is not None and not 1 <= row.score <= 5:
        raise RowRefusedError("score is not 1 to 5")
    if not 0 <= row.weight <= 1:
        raise RowRefusedError("weight is not between 0 and 1")


def _nameless(row: FeedbackRow) -> FeedbackRow:
    """Return what a roll-up keeps of a row."""
    return structs.replace(row, user_id=None, comment=None, final_text=None, metadata={}, tags=())


def _matches(row: FeedbackRow, where: Filter) -> bool:
    if row.tenant != where.tenant:
        return False
    if where.since is not None and row.received_at < where.since:
        return False
    if where.until is not None and row.received_at >= where.until:
        return False
    wanted = ((name, getattr(where, name)) for name in (*DIMENSIONS, "user_id"))
    return all(value is None or getattr(row, name) == value for name, value in wanted)


def _whole(row: FeedbackRow, where: Filter) -> bool:
    """Tell whether the whole day of the row lies within the filter's times."""
    start = row.received_at // DAY_MS * DAY_MS
    after = where.since is None or start >= where.since
    return after and (where.until is None or start + DAY_MS <= where.until)


def _column(row: FeedbackRow, name: GroupBy) -> Any:  # noqa: ANN401 - as the database would
    if name in ("day", "week"):
        return row.received_at // DAY_MS
    if name == "confidence_bin":
        return confidence_bin(row.confidence)
    return getattr(row, name) or ""
