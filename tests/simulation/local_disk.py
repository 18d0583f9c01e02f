"""A store on a disk of its own, whose power can go: what was not synced may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.storage.memory_store import MemoryStore
from server.storage.records import AnyRow, Written
from server.storage.store import StoreUnavailableError


class LocalDisk(MemoryStore):
    """The twin with a sync between taking a batch and confirming it.

    A transaction is whole or not there. `sync_fails` is the code of what the next sync raises:
    whether its batch reached the disk nobody knows.
    """

    def __init__(self, world) -> None:
        super().__init__(_is_open=True)
        self._world = world
        self._unsynced: list[Sequence[AnyRow]] = []
        self.sync_fails = ""
        self.attempts_after_failure = 0
        self._failed = False

    async def write(self, rows: Sequence[AnyRow]) -> list[Written]:
        """Take a batch, sync, and confirm."""
        self.attempts_after_failure += self._failed
        taken = list(rows)
        self._unsynced.append(taken)
        await asyncio.sleep(self._world.dice.uniform(0.0, 0.03))
        if self.sync_fails:
            code, self.sync_fails = self.sync_fails, ""
            self._failed = code.startswith("SQLITE_IOERR")
            self._unsynced.remove(taken)
            if self._world.chance(0.5) and self._failed:
                await super().write(taken)
            raise StoreUnavailableError("the disk says no", code=code, permanent=True)
        self._unsynced.remove(taken)
        return await super().write(taken)

    async def lose_power(self) -> None:
        """Keep what was synced, and of the rest any number of whole batches from its start."""
        kept = self._unsynced[: self._world.dice.randint(0, len(self._unsynced))]
        self._unsynced, self._failed = [], False
        for batch in kept:
            await super().write(batch)
