"""Retention once a day, by one node of a fleet.

Each node asks now and then whether it is due; the store gives the chore to one of them, for as long
as that one renews it. The time of the last run is kept there too, so that restarts make no
difference.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import structlog

from server.feedback import retention
from server.feedback.audit import Audit
from server.feedback.retention import Expired
from server.feedback.supervised import SupervisedTask
from server.storage.cancelling import end_tasks
from server.storage.store import Store, StoreUnavailableError

log = structlog.get_logger()

CHORE = "retention"
EVERY_MS = 86_400_000

FIRST_LOOK_S = 10.0
"""When a node looks first: soon, for some never live long."""

LOOK_S = 1200.0
"""How often it looks then, thrown between half and all of it: a run starts within 20 minutes of
being due, and nodes that started together do not ask together."""

LEASE_MS = 600_000
"""How long a node that has died keeps others from it; one that works renews it in time."""

RunResult = Literal["done", "failed"]


class DailyRetention:
    """Removes what is older than `days` from `store` once a day; months go to `archive_dir` first.

    Without a folder nothing is archived. Each run is noted in `audit` before and after; what cannot
    be noted is not done. `wall_clock` gives Unix seconds, `dice` a number in 0..1. `on_run` counts,
    with what left.
    """

    def __init__(
        self,
        store: Store,
        *,
        days: int,
        archive_dir: Path | None,
        audit: Audit,
        first_look_s: float = FIRST_LOOK_S,
        look_s: float = LOOK_S,
        lease_ms: int = LEASE_MS,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        on_run: Callable[[RunResult, Expired], None] = lambda result, expired: None,
        on_fatal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._store = store
        self._days = days
        self._archive_dir = archive_dir
        self._audit = audit
        self._first_look_s = first_look_s
        self._look_s = look_s
        self._lease_ms = lease_ms
        self._wall_clock = wall_clock
        self._dice = dice
        self._on_run = on_run
        self._task = SupervisedTask("daily-retention", self._look, on_fatal)

    def start(self) -> None:
        """Start looking; call it in the running event loop."""
        self._task.start()

    async def aclose(self) -> None:
        """End at once: a run that was cut off is done anew, and repeating does no harm."""
        await self._task.aclose()

    async def step(self) -> Expired | None:
        """Run if it is due and no other node has it; None when it is not for us.

        Raises `StoreUnavailableError` and `OSError`; it is then due still.
        """
        token = secrets.token_hex(8)
        now = self._now_ms()
        if not await self._store.chores.claim(
            CHORE, token, now=now, until=now + self._lease_ms, every_ms=EVERY_MS
        ):
            return None
        try:
            async with self._keeping(token):
                expired = await self._run()
        except BaseException as error:
            if isinstance(error, StoreUnavailableError | OSError):
                self._on_run("failed", Expired())
            with suppress(StoreUnavailableError):
                await self._store.chores.release(CHORE, token, done_at=None)
            raise
        await self._store.chores.release(CHORE, token, done_at=now)
        self._on_run("done", expired)
        return expired

    async def _run(self) -> Expired:
        await self._note(state="begun", days=self._days, archive=self._archive_dir is not None)
        expired = await retention.run(self._store, self._now_ms(), self._days, self._archive_dir)
        left = {"judgements": expired.judgements, "interactions": expired.interactions}
        await self._note(state="done", **left)
        log.info("retention_done", months=list(expired.months), notices=expired.notices, **left)
        return expired

    async def _note(self, **facts: str | int | bool) -> None:
        said: dict[str, Any] = {"over": "server", **facts}
        await asyncio.to_thread(lambda: self._audit.note("retention", **said))

    @asynccontextmanager
    async def _keeping(self, token: str) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._lease_ms / 3000)
                until = self._now_ms() + self._lease_ms
                try:
                    await self._store.chores.renew(CHORE, token, until=until)
                except StoreUnavailableError:
                    continue  # the run itself will meet the same

        keeper = asyncio.create_task(renew(), name="retention-lease")
        try:
            yield
        finally:
            await end_tasks(keeper)

    async def _look(self) -> None:
        pause_s = self._first_look_s
        while True:
            await asyncio.sleep(pause_s * (1 + self._dice()) / 2)
            pause_s = self._look_s
            try:
                await self.step()
            except (StoreUnavailableError, OSError) as error:
                log.warning("retention_failed", reason=str(error))

    def _now_ms(self) -> int:
        return int(self._wall_clock() * 1000)
