"""The clock, the dice and the ids of a client, brought by whoever makes one."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Environment:
    """What a client would otherwise take from its machine; tests bring their own.

    `clock` is monotonic seconds, `now_ms` Unix milliseconds, `dice` a number from 0 to below 1,
    `sleep` takes seconds, `random_bytes` a count.
    """

    clock: Callable[[], float] = time.monotonic
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    dice: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random_bytes: Callable[[int], bytes] = secrets.token_bytes


class IdMaker:
    """Makes UUIDv7 ids (RFC 9562) that rise, also within a millisecond and when a clock goes back.

    The 12 bits after the time count within a millisecond (method 1 of section 6.2); when they run
    out the time is taken to be one millisecond later.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._last_ms = 0
        self._count = 0

    def make(self) -> str:
        """Return the next id."""
        now_ms = self._environment.now_ms()
        if now_ms > self._last_ms:
            self._last_ms, self._count = now_ms, 0
        else:
            self._count += 1
            if self._count >= 1 << 12:
                self._last_ms, self._count = self._last_ms + 1, 0
        noise = int.from_bytes(self._environment.random_bytes(8)) >> 2
        value = self._last_ms << 80 | 7 << 76 | self._count << 64 | 2 << 62 | noise
        return str(UUID(int=value))
