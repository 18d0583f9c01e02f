"""Caps on what a day may cost: money is set aside before a model is called, and settled after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from protocol.errors import EventError
from server.answering.topics import Asker
from server.storage.spend_book import MemorySpendBook, SpendBook
from server.telemetry.metrics import Metrics

DAY_S = 86_400
NANO = 10**9

Scope = Literal["key", "tenant", "total"]

_WHOSE: dict[Scope, str] = {"key": "your key", "tenant": "your tenant", "total": "this server"}


@dataclass(frozen=True, slots=True)
class Caps:
    """US dollars a day: of each key or token, of each tenant, of everybody. 0 is no cap."""

    key_usd: float = 0.0
    tenant_usd: float = 0.0
    total_usd: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.key_usd or self.tenant_usd or self.total_usd)


@dataclass(frozen=True, slots=True)
class _Account:
    """Whose money: one of the caps and whom it stands for. `cap` is nano-dollars a day."""

    scope: Scope
    name: str
    cap: int


class SpendCapError(EventError):
    """The money of a day is spent; the error says for whom and when the next day begins."""

    def __init__(self, scope: Scope, retry_after_ms: int) -> None:
        super().__init__(
            "rate_limited",
            f"What {_WHOSE[scope]} may spend in a day is spent; it begins anew at midnight UTC",
            retry_after_ms=retry_after_ms,
        )


class Hold:
    """Money that is set aside for one call; `settle` it once with what the call has cost."""

    def __init__(self, spending: Spending, accounts: tuple[_Account, ...], day: int) -> None:
        self._spending = spending
        self.accounts = accounts
        self.day = day
        self.nano_usd = 0

    def settle(self, cost_usd: float) -> None:
        """Exchange what was set aside for the cost; 0 gives it all back. Does not wait."""
        self._spending.settle(self, round(cost_usd * NANO))


class Spending:
    """Holds the caps, by what `book` says was spent.

    Nobody overshoots a cap by more than the calls cost that were let through before it was
    reached, beyond what was set aside for them. `wall_clock` gives Unix seconds.
    """

    def __init__(
        self,
        caps: Caps,
        metrics: Metrics,
        wall_clock: Callable[[], float],
        book: SpendBook | None = None,
    ) -> None:
        self._caps = caps
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._book = book or MemorySpendBook()
        self._settling: set[asyncio.Task[None]] = set()
        self._highest: dict[Scope, float] = {}
        self._highest_of = -1

    @property
    def has_caps(self) -> bool:
        """Whether anything is limited."""
        return bool(self._caps)

    async def hold(self, asker: Asker, usd: float) -> Hold:
        """Set `usd` aside for a call that `asker` causes. Raises `SpendCapError`.

        A caller that is cancelled meanwhile gets it all back.
        """
        hold = Hold(self, self._accounts_of(asker), int(self._wall_clock() // DAY_S))
        if not hold.accounts or not usd:
            return hold
        taking = asyncio.create_task(self._take(hold, round(usd * NANO)), name="spend-hold")
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda task: _give_back(task, hold))
            raise
        return hold

    def _accounts_of(self, asker: Asker) -> tuple[_Account, ...]:
        """From the narrowest on: who is over their own cap never touches another's sum."""
        caps = self._caps
        wanted: tuple[tuple[Scope, str, float], ...] = (
            ("key", asker.name, caps.key_usd if asker.name else 0.0),
            ("tenant", asker.tenant, caps.tenant_usd),
            ("total", "", caps.total_usd),
        )
        return tuple(
            _Account(scope, f"{scope}:{name}", round(cap_usd * NANO))
            for scope, name, cap_usd in wanted
            if cap_usd
        )

    async def _take(self, hold: Hold, nano_usd: int) -> None:
        taken: list[_Account] = []
        for account in hold.accounts:
            total = await self._book.add(account.name, hold.day, nano_usd)
            taken.append(account)
            if total > account.cap:
                self._note(account, hold.day, total - nano_usd)
                for one in taken:
                    await self._book.add(one.name, hold.day, -nano_usd)
                self._metrics.count("spend_refused_total", account.scope)
                raise SpendCapError(account.scope, self._until_tomorrow_ms())
        hold.nano_usd = nano_usd

    def settle(self, hold: Hold, cost: int) -> None:
        """See `Hold.settle`."""
        change, hold.nano_usd = cost - hold.nano_usd, cost
        if hold.accounts and (change or cost):
            task = asyncio.create_task(self._settle(hold, change), name="spend-settle")
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, hold: Hold, change: int) -> None:
        for account in hold.accounts:
            total = await self._book.add(account.name, hold.day, change)
            self._note(account, hold.day, total)

    def _note(self, account: _Account, day: int, total: int) -> None:
        """Show how near a cap anybody has come on this day."""
        if day > self._highest_of:
            self._highest_of, self._highest = day, {}
        if day == self._highest_of:
            ratio = max(self._highest.get(account.scope, 0.0), total / account.cap)
            self._highest[account.scope] = ratio
            self._metrics.set("spend_ratio", ratio, account.scope)

    def _until_tomorrow_ms(self) -> int:
        return int((DAY_S - self._wall_clock() % DAY_S) * 1000) + 1

    async def aclose(self) -> None:
        """Wait until all is settled."""
        while self._settling:
            await asyncio.wait(self._settling)


def _give_back(task: asyncio.Task[None], hold: Hold) -> None:
    if not task.cancelled() and task.exception() is None:
        hold.settle(0.0)
