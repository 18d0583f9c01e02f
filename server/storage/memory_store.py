"""The store of record in memory: the twin that tests run on.

Nothing outlives the process. It keeps the contract of the other stores, refusals included, by
checking rows with the same function.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec
from msgspec import structs

from server.storage.batches import Batch, Key, key_of
from server.storage.chores import MemoryChores
from server.storage.columns import confidence_bin, feedback_values, interaction_values
from server.storage.erasures import Erased, person_of
from server.storage.letters import is_about, plain
from server.storage.memory_outbox import MemoryOutbox
from server.storage.outbox import SILENT, Announcer, Backlog
from server.storage.records import (
    AnyRow,
    DeadLetter,
    FeedbackRow,
    InteractionRow,
    Written,
    decode_row,
    encode_row,
)
from server.storage.store import (
    PAGE_ROWS,
    Filter,
    GroupBy,
    Judged,
    RowRefusedError,
    StoreUnavailableError,
    Tally,
)
from server.storage.superseding import decisions_of, oldest_id, replaced
from server.storage.tallies import DAY_MS, DIMENSIONS, merge

MAX_INTEGER = 2**63 - 1
"""What an integer column of the other stores holds."""


@dataclass
class MemoryStore:
    """A store whose tables are dictionaries; see the port for its methods.

    Sums by day name no person, so they keep counting what was erased, as roll-ups do.
    """

    _feedback: dict[Key, FeedbackRow] = field(default_factory=dict)
    _interactions: dict[Key, InteractionRow] = field(default_factory=dict)
    _letters: dict[int, DeadLetter] = field(default_factory=dict)
    _erased: list[FeedbackRow] = field(default_factory=list)
    _erasures: dict[str, int] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _is_open: bool = False
    announcer: Announcer = SILENT
    chores: MemoryChores = field(default_factory=MemoryChores)
    outbox: MemoryOutbox = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = MemoryOutbox(self._require_open)

    async def open(self) -> None:
        """Take part from now on."""
        self._is_open = True

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Keep all rows, or refuse the batch."""
        self._require_open()
        batch = Batch(rows)
        for row in rows:
            _check(row)
        gone = Erased(self._erasures).holds
        new_feedback = {
            k: r for k, r in batch.feedback.items() if k not in self._feedback and not gone(r)
        }
        new_interactions = {
            k: r
            for k, r in batch.interactions.items()
            if k not in self._interactions and not gone(r)
        }
        kept = {
            key: self._feedback[key].payload_sha256
            for key in batch.feedback
            if key in self._feedback
        }
        self._feedback |= new_feedback
        for key in self._replaced_by(new_feedback.values()):
            self._feedback[key] = structs.replace(self._feedback[key], weight=0.0)
        self.outbox.add(self.announcer.of_rows(list(new_feedback.values())))
        self._interactions |= new_interactions
        inserted = {(True, *key) for key in new_feedback}
        inserted |= {(False, *key) for key in new_interactions}
        return batch.results(inserted, kept)

    async def put_dead_letter(self, original: bytes, reason: str, received_at: int) -> None:
        """Keep the bytes."""
        self._require_open()
        if Erased(self._erasures).holds_letter(original):
            return
        letter_id = next(self._ids)
        letter = DeadLetter(
            id=letter_id, received_at=received_at, original=original, reason=plain(reason)
        )
        self._letters[letter_id] = letter
        self.outbox.add(self.announcer.of_letter(letter))

    async def dead_letters(self, limit: int, after: int = 0) -> list[DeadLetter]:
        """Return letters by id."""
        self._require_open()
        later = (letter for letter in self._letters.values() if letter.id > after)
        return list(itertools.islice(later, limit))

    async def drop_dead_letters(self, ids: Sequence[int]) -> int:
        """Forget letters."""
        self._require_open()
        return sum(self._letters.pop(one, None) is not None for one in ids)

    async def interaction(self, response_id: str, tenant: str = "") -> InteractionRow | None:
        """Return one interaction."""
        self._require_open()
        return self._interactions.get((response_id, tenant))

    async def asked(self, user_id: str, tenant: str = "", *, since: int) -> list[str]:
        """Return what one person asked."""
        self._require_open()
        return [
            row.response_id
            for row in self._interactions.values()
            if (row.user_id, row.tenant) == (user_id, tenant) and row.started_at >= since
        ]

    async def feedback_of(self, response_id: str, tenant: str = "") -> list[FeedbackRow]:
        """Return the judgements of one answer."""
        self._require_open()
        found = [
            row
            for row in self._feedback.values()
            if row.response_id == response_id and row.tenant == tenant
        ]
        return sorted(found, key=lambda row: (row.received_at, row.event_id))

    async def tally(self, by: Sequence[GroupBy], where: Filter) -> list[Tally]:
        """Count judgements; confidence is told apart by bins, as the roll-ups do."""
        self._require_open()
        for name in by:
            if name not in get_args(GroupBy):
                raise KeyError(name)
        floor = None if where.min_confidence is None else confidence_bin(where.min_confidence)
        rows = [row for row in self._feedback.values() if _matches(row, where)]
        if "user_id" not in by and where.user_id is None:
            rows += [row for row in self._erased if _matches(row, where) and _whole(row, where)]
        counted: list[Sequence[Any]] = [
            (*(_column(row, name) for name in by), row.action, row.weight, 1, row.score or 0)
            for row in rows
            if floor is None or confidence_bin(row.confidence) >= floor
        ]
        return merge(by, (counted, []))

    async def sum_up(self, today: int) -> int:
        """Sum up nothing: all is counted from the rows."""
        return 0

    async def judged(self, where: Filter, after: str = "") -> AsyncIterator[Judged]:
        """Stream judgements with their interactions, a page at a time."""
        while page := self._page(where, after):
            for one in page:
                yield one
            after = page[-1].feedback.event_id

    def _page(self, where: Filter, after: str) -> list[Judged]:
        self._require_open()
        floor = where.min_confidence
        found = [
            row
            for row in self._feedback.values()
            if row.event_id > after
            and (floor is None or (row.confidence is not None and row.confidence >= floor))
            and _matches(row, where)
        ]
        found.sort(key=lambda row: row.event_id)
        return [
            Judged(row, self._interactions.get((row.response_id, row.tenant)))
            for row in found[:PAGE_ROWS]
        ]

    async def erase_user(self, user_id: str, tenant: str = "", *, now: int) -> dict[str, int]:
        """Forget one person's rows."""
        self._require_open()
        self._erasures[person_of(user_id, tenant)] = now
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
        return {
            "feedback": len(owned),
            "interactions": len(asked),
            "notices": self.outbox.erase(user_id, tenant),
            "dead_letters": await self.drop_dead_letters(theirs),
        }

    async def forget_erasures(self, before: int) -> None:
        """Forget old erasures."""
        self._require_open()
        self._erasures = {k: at for k, at in self._erasures.items() if at >= before}

    async def backlog(self) -> Backlog:
        """Count what waits for somebody to act."""
        self._require_open()
        waiting, dead = self.outbox.count("waiting"), self.outbox.count("dead")
        return Backlog(len(self._letters), waiting, dead)

    async def check(self) -> None:
        """Return while open."""
        self._require_open()

    async def aclose(self) -> None:
        """Be unavailable from now on."""
        self._is_open = False

    def _replaced_by(self, new: Iterable[FeedbackRow]) -> list[Key]:
        decisions = decisions_of(new)
        if not decisions:
            return []
        subjects, oldest = {one.subject for one in decisions}, oldest_id(decisions)
        there = decisions_of(row for row in self._feedback.values() if row.event_id >= oldest)
        return replaced(one for one in {*there, *decisions} if one.subject in subjects)

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailableError("the store is not open", code="CLOSED")


def _check(row: AnyRow) -> None:
    """Refuse what the other stores refuse; raises `RowRefusedError`."""
    try:
        decode_row(encode_row(row))  # checks each field's type
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise RowRefusedError(f"a field is not what it should be: {error}") from error
    if not isinstance(row, FeedbackRow):
        interaction_values(row)
        _require_range("started_at", row.started_at, 0, MAX_INTEGER)
        return
    feedback_values(row)
    _require_range("received_at", row.received_at, 0, MAX_INTEGER)
    _require_range("weight", row.weight, 0, 1)
    if row.score is not None:
        _require_range("score", row.score, 1, 5)


def _require_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise RowRefusedError(f"{name} is not between {least} and {most}")


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
