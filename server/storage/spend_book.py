"""What was spent today, by account: the port, the twin of a process, and a fleet's in Redis.

Money is whole nano-dollars (1e-9 USD), so that sums are exact whoever adds them in which order. A
day is a day of UTC, counted from 1970.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

PREFIX = "manicule:spend:"

MAX_ACCOUNTS = 50_000
"""Accounts a process knows of (some 10 MB); beyond it the one idle for longest is forgotten."""

KEPT_S = 2 * 86_400
"""How long a day is kept in Redis: an answer may end on the day after the one it began on."""

WAIT_S = 0.25
"""Longest wait for one account: it stands before a call of a model, once for each cap."""


class SpendBook(Protocol):
    """Sums by account and day. Adding is one atomic step, so no two adders get the same sum."""

    async def add(self, account: str, day: int, nano_usd: int) -> int:
        """Add to what `account` spent on `day` (less than 0 takes back); return its sum.

        Does not fail: a node that cannot reach the others goes on from the last sum it knows.
        """
        ...


class MemorySpendBook:
    """The sums of this process."""

    def __init__(self, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._max_accounts = max_accounts
        self._sums: OrderedDict[tuple[int, str], int] = OrderedDict()

    async def add(self, account: str, day: int, nano_usd: int) -> int:
        """Add at once."""
        return self.add_now(account, day, nano_usd)

    def add_now(self, account: str, day: int, nano_usd: int) -> int:
        """As `add`, for who does not wait."""
        total = self._sums.get((day, account), 0) + nano_usd
        self.learn(account, day, total)
        return total

    def learn(self, account: str, day: int, total: int) -> None:
        """Put a sum that was learned elsewhere."""
        self._sums[day, account] = total
        self._sums.move_to_end((day, account))
        if len(self._sums) > self._max_accounts:
            self._sums.popitem(last=False)


class RedisSpendBook:
    """The sums of a fleet: an integer for each account and day, `INCRBY` and no script.

    While Redis is away the sums of this process go on from the last ones it was told, so a cap
    still holds for each node by itself, and what could not be added is added with the next sum of
    the account. An addition whose reply was lost counts twice: rather too early a stop than none.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._known = MemorySpendBook()
        self._owed: OrderedDict[tuple[int, str], int] = OrderedDict()

    async def add(self, account: str, day: int, nano_usd: int) -> int:
        """Add in Redis, or else here."""
        place = day, account
        amount = nano_usd + self._owed.pop(place, 0)
        try:
            total = await self._add(f"{PREFIX}{day}:{digest(account)}", amount)
        except StorageError:
            self._owed[place] = self._owed.get(place, 0) + amount
            if len(self._owed) > MAX_ACCOUNTS:
                self._owed.popitem(last=False)
            return self._known.add_now(account, day, nano_usd)
        self._known.learn(account, day, total)
        return total

    async def _add(self, key: str, amount: int) -> int:
        total, _ = await self._client.pipeline([("INCRBY", key, amount), ("EXPIRE", key, KEPT_S)])
        if isinstance(total, int):
            return total
        raise total if isinstance(total, StorageError) else StorageError("reply")


def digest(account: str) -> str:
    """Return what stands for an account in a key: no name, and no character with a meaning."""
    return hashlib.sha256(account.encode()).hexdigest()[:32]
