"""How often somebody may do something: token buckets, in one process or shared by a fleet.

A bucket is kept as one time, the one at which it will be full again (the theoretical arrival time
of the generic cell rate algorithm, ITU-T I.371): taking a token moves it later by `interval`, and
a token is there as long as it lies no more than the whole bucket ahead of now.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import Command, RedisClient

MINUTE_US = 60_000_000

MAX_NAMES = 20_000
"""Buckets at once in a process (some 4 MB); beyond it those idle longest start anew, full."""

LONGEST_WAIT_S = 0.05
"""What a shared look may add to a question; past it this process goes by its own count."""

KEY_TTL_MS = 60_000
"""A bucket is full again after a minute at most, and then need not be remembered."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` tokens a minute, as many at once, for whoever `name` stands for."""

    name: str
    per_minute: int

    @property
    def interval_us(self) -> int:
        """Microseconds that one token takes to come back."""
        return max(1, MINUTE_US // self.per_minute)

    @property
    def size_us(self) -> int:
        """Microseconds that a whole bucket takes."""
        return self.interval_us * self.per_minute


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of taking a token of a bucket.

    `retry_after_s` is 0 when there was one, else the time until there will be; `remaining` is what
    is left, `reset_s` the time until the bucket is full.
    """

    rate: Rate
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0


class RateLimits(Protocol):
    """Token buckets by name. No method raises: what cannot be asked limits nobody."""

    async def take(self, rates: Sequence[Rate]) -> Verdict | None:
        """Take a token of every bucket, or of none when one is empty.

        Returns the verdict of the bucket that has least left, of the one that is empty for longest
        when one is; None for no rates.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is under way."""
        ...


def judge(rate: Rate, full_at_us: int, now_us: int) -> Verdict:
    """Return the verdict for a bucket that is full at `full_at_us` after this token was taken."""
    ahead_us = max(full_at_us - now_us, rate.interval_us)
    over_us = ahead_us - rate.size_us
    if over_us > 0:
        # The token is put back, so that it is the state before it that counts.
        ahead_us -= rate.interval_us
        return Verdict(rate, 0, ahead_us / 1e6, over_us / 1e6)
    return Verdict(rate, (rate.size_us - ahead_us) // rate.interval_us, ahead_us / 1e6)


def tightest(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict that decides."""
    return max(verdicts, key=lambda one: (one.retry_after_s, -one.remaining))


class MemoryRateLimits:
    """The buckets of this process. `now` is Unix seconds, or any clock that all users share."""

    def __init__(self, now: Callable[[], float], max_names: int = MAX_NAMES) -> None:
        self._now = now
        self._max_names = max_names
        self._full_at: OrderedDict[str, int] = OrderedDict()

    async def take(self, rates: Sequence[Rate]) -> Verdict | None:
        """Take at once, or not at all."""
        return self.take_now(rates)

    def take_now(self, rates: Sequence[Rate]) -> Verdict | None:
        """As `take`, for who does not wait."""
        if not rates:
            return None
        now_us = int(self._now() * 1e6)
        after = {
            rate.name: max(self._full_at.get(rate.name, 0), now_us) + rate.interval_us
            for rate in rates
        }
        verdict = tightest([judge(rate, after[rate.name], now_us) for rate in rates])
        if not verdict.retry_after_s:
            for name, full_at_us in after.items():
                self._full_at[name] = full_at_us
                self._full_at.move_to_end(name)
            while len(self._full_at) > self._max_names:
                self._full_at.popitem(last=False)
        return verdict

    def give_back(self, rates: Sequence[Rate]) -> None:
        """Put back what was taken a moment ago and was not used after all."""
        for rate in rates:
            if rate.name in self._full_at:
                self._full_at[rate.name] -= rate.interval_us

    def learn(self, rate: Rate, full_at_us: int) -> None:
        """Note that others took of the bucket too, so that it is not full before then."""
        if rate.name in self._full_at:
            self._full_at[rate.name] = max(self._full_at[rate.name], full_at_us)

    async def aclose(self) -> None:
        """Nothing to finish."""


class RedisRateLimits:
    """The buckets of a fleet in Redis, in one round trip and without a script.

    `SET NX` begins a bucket, `INCRBY` takes a token and says when it will be full; a token that
    was not there is put back. Every take is one atomic step, so that no two get the same token.
    What this is not exact about:

    * A bucket that has been full for a while is behind the clock and is set right by who finds it
      so. Those who come within that one round trip share what the lag is worth: together at most
      one more bucket, once.
    * A token under way to be put back is missing for a round trip.
    * Clocks of nodes that differ by d seconds shift the bucket by d seconds' worth of tokens.
    * While Redis does not answer within `longest_wait_s`, each process goes by its own count and
      what it last heard: a fleet of n lets through up to n times as much.

    `now` is Unix seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        now: Callable[[], float],
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self._client = client
        self._now = now
        self._longest_wait_s = longest_wait_s
        self._near = MemoryRateLimits(now)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(self, rates: Sequence[Rate]) -> Verdict | None:
        """Take from this process's count first: what it refuses, the fleet's would too."""
        near = self._near.take_now(rates)
        if near is None or near.retry_after_s:
            return near
        task = self._in_background(self._take_shared(rates))
        done, _ = await asyncio.wait({task}, timeout=self._longest_wait_s)
        far = task.result() if done else None
        if far is None:
            return near
        if far.retry_after_s:
            self._near.give_back(rates)
        return far

    async def _take_shared(self, rates: Sequence[Rate]) -> Verdict | None:
        now_us = int(self._now() * 1e6)
        commands: list[Command] = []
        for rate in rates:
            key = _key(rate)
            commands.append(("SET", key, now_us, "NX", "PX", KEY_TTL_MS))
            commands.append(("INCRBY", key, rate.interval_us))
            commands.append(("PEXPIRE", key, KEY_TTL_MS))
        try:
            replies = (await self._client.pipeline(commands))[1::3]
        except StorageError:
            return None
        # A reply that is no number, from a key that somebody else uses, limits nobody.
        taken = [
            (rate, reply)
            for rate, reply in zip(rates, replies, strict=True)
            if isinstance(reply, int)
        ]
        if not taken:
            return None
        verdict = tightest([judge(rate, full_at_us, now_us) for rate, full_at_us in taken])
        refused = verdict.retry_after_s > 0
        for rate, full_at_us in taken:
            self._near.learn(rate, full_at_us - rate.interval_us * refused)
        repairs = _repairs(taken, now_us, refused=refused)
        if repairs:
            self._in_background(self._repair(repairs))
        return verdict

    async def _repair(self, commands: Sequence[Command]) -> None:
        try:
            await self._client.pipeline(commands)
        except StorageError:
            return

    def _in_background(self, work: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work, name="rate-limits")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)


def _key(rate: Rate) -> str:
    """Return the key of a bucket, which tells nobody whose it is."""
    return f"rate:{hashlib.sha256(rate.name.encode()).hexdigest()[:32]}"


def _repairs(taken: Sequence[tuple[Rate, int]], now_us: int, *, refused: bool) -> list[Command]:
    """Return what puts tokens back that were not there, and buckets right that were behind."""
    commands: list[Command] = []
    for rate, full_at_us in taken:
        key = _key(rate)
        if full_at_us < now_us + rate.interval_us:
            full_at_us = now_us + (0 if refused else rate.interval_us)
            commands.append(("SET", key, full_at_us, "PX", KEY_TTL_MS))
        elif refused:
            commands.append(("DECRBY", key, rate.interval_us))
            commands.append(("PEXPIRE", key, KEY_TTL_MS))
    return commands
