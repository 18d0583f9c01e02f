"""The outbox in memory: the twin."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from server.storage.outbox import MAX_ERROR_CHARS, Delivery, Notice, State


@dataclass(slots=True)
class _Kept:
    delivery: Delivery
    user_id: str | None
    loan: str = ""


class MemoryOutbox:
    """Notices in a dictionary; `require_open` raises while the store is not open."""

    def __init__(self, require_open: Callable[[], None]) -> None:
        self._require_open = require_open
        self._kept: dict[int, _Kept] = {}
        self._numbers = itertools.count(1)

    def add(self, notices: Iterable[Notice]) -> None:
        """Put notices in, each once."""
        there = {(one.delivery.endpoint, one.delivery.message_id) for one in self._kept.values()}
        for notice in notices:
            if (notice.endpoint, notice.message_id) in there:
                continue
            number = next(self._numbers)
            self._kept[number] = _Kept(
                Delivery(
                    number=number,
                    message_id=notice.message_id,
                    endpoint=notice.endpoint,
                    event=notice.event,
                    tenant=notice.tenant,
                    body=notice.body,
                    created_at=notice.created_at,
                    attempts=0,
                    next_at=notice.created_at,
                    state="waiting",
                    error="",
                ),
                notice.user_id,
            )

    def erase(self, user_id: str, tenant: str) -> int:
        """Remove what is about a person; return how many."""
        return self._remove(lambda one: (one.user_id, one.delivery.tenant) == (user_id, tenant))

    def count(self, state: State) -> int:
        """Return how many are in a state."""
        return sum(one.delivery.state == state for one in self._kept.values())

    async def borrow(
        self, endpoint: str, *, limit: int, now: int, until: int, loan: str
    ) -> list[Delivery]:
        """Lend what is due."""
        self._require_open()
        due = [
            one
            for one in self._kept.values()
            if one.delivery.state == "waiting"
            and one.delivery.endpoint == endpoint
            and one.delivery.next_at <= now
        ]
        due = sorted(due, key=lambda one: one.delivery.next_at)[:limit]
        for one in due:
            one.loan = loan
            attempts = one.delivery.attempts + 1
            one.delivery = replace(one.delivery, attempts=attempts, next_at=until)
        return sorted((one.delivery for one in due), key=attrgetter("number"))

    async def delivered(self, number: int, loan: str) -> bool:
        """Remove one."""
        if self._lent(number, loan) is None:
            return False
        del self._kept[number]
        return True

    async def failed(self, number: int, loan: str, *, next_at: int | None, error: str) -> bool:
        """Give one back."""
        one = self._lent(number, loan)
        if one is None:
            return False
        one.loan = ""
        one.delivery = replace(
            one.delivery,
            error=error[:MAX_ERROR_CHARS],
            next_at=one.delivery.next_at if next_at is None else next_at,
            state="dead" if next_at is None else "waiting",
        )
        return True

    async def deliveries(
        self, limit: int, after: int = 0, *, state: State | None = None, endpoint: str | None = None
    ) -> list[Delivery]:
        """Return some."""
        self._require_open()
        found = (
            one.delivery
            for one in self._kept.values()
            if one.delivery.number > after
            and state in (None, one.delivery.state)
            and endpoint in (None, one.delivery.endpoint)
        )
        return list(itertools.islice(found, limit))

    async def revive(self, numbers: Sequence[int] | None, *, now: int) -> int:
        """Try dead ones again."""
        self._require_open()
        dead = [one for one in self._kept.values() if one.delivery.state == "dead"]
        chosen = [one for one in dead if numbers is None or one.delivery.number in numbers]
        for one in chosen:
            one.delivery = replace(one.delivery, state="waiting", attempts=0, next_at=now)
        return len(chosen)

    async def forget(self, before: int) -> int:
        """Remove old ones."""
        self._require_open()
        return self._remove(lambda one: one.delivery.created_at < before)

    def _lent(self, number: int, loan: str) -> _Kept | None:
        self._require_open()
        one = self._kept.get(number)
        return one if one is not None and one.loan == loan else None

    def _remove(self, doomed: Callable[[_Kept], bool]) -> int:
        numbers = [number for number, one in self._kept.items() if doomed(one)]
        for number in numbers:
            del self._kept[number]
        return len(numbers)
