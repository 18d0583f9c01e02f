"""Sockets that come and go, and what that leaves behind in the server: slopes with their errors.

Part of `benchmarks.memory`. What a server remembers on purpose is bounded, and looks like a leak
until it is full: lines are fitted only to what comes after `FILLED_SOCKETS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.lean_sockets import close_sockets, open_socket
from benchmarks.processes import memory_of, open_files

WORKERS = 8
"""Sockets at a time; each is closed before its place is taken again."""

FILLED_SOCKETS = 20_000
"""The largest memory that is counted in answers has 10,000 places (`feedback.service`), and the
allocator takes as many again until what it gives out is what it got back. The memory of words is
kept small by asking with few different ones, those in bytes by settings."""

SAMPLE_S = 0.5
MIN_SAMPLES = 20
ANSWER_S = 30.0
PRODUCT = "orrinfeld-od-12"

WORDS = (
    *("battery", "buckle", "button", "cable", "charger", "cover", "display", "fuse", "handle"),
    *("hinge", "knob", "lamp", "latch", "lever", "lid", "motor", "pedal", "plug", "screw"),
    *("sensor", "speaker", "spring", "strap", "switch", "tray", "valve", "wheel"),
)
"""Questions are made of four of these: 531,441 different ones, so that no answer is used again."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A least-squares line through points: its rise and the standard error of that."""

    rise: float
    error: float

    def times(self, factor: float) -> Slope:
        """Return it in other units."""
        return Slope(self.rise * factor, self.error * factor)


def slope(xs: Sequence[float], ys: Sequence[float]) -> Slope:
    """Fit a line; needs three points that differ in x.

    The error is the usual one of least squares, which takes deviations for independent. Memory
    moves in steps that last for several samples, so that the true error is larger.
    """
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return Slope(rise, (rest / (len(xs) - 2) / spread) ** 0.5)


@dataclass(slots=True)
class Churned:
    """What was seen: at each sample the seconds, the sockets so far, KiB and descriptors."""

    seconds: list[float] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)
    rss_kib: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """From which sample on lines are fitted: the second half, once memories are full."""
        filled = sum(number < FILLED_SOCKETS for number in self.sockets)
        return max(len(self.sockets) // 2, filled)

    @property
    def per_thousand(self) -> Slope | None:
        """KiB per 1,000 sockets; None when too few came after memories were full."""
        return self._slope([float(one) for one in self.sockets], 1000)

    @property
    def per_minute(self) -> Slope | None:
        """KiB a minute; None as above."""
        return self._slope(self.seconds, 60)

    def _slope(self, xs: Sequence[float], factor: float) -> Slope | None:
        start = self.settled
        if len(xs) - start < MIN_SAMPLES:
            return None
        return slope(xs[start:], self.rss_kib[start:]).times(factor)


async def churn(url: str, pid: int, minutes: float, *, asking: bool) -> Churned:
    """Connect and close for some minutes, with a question and its whole answer if `asking`."""
    seen, done = Churned(), [0]
    started = time.monotonic()
    ends_at = started + minutes * 60
    workers = [
        asyncio.create_task(_come_and_go(url, one, ends_at, asking, done)) for one in range(WORKERS)
    ]
    while (now := time.monotonic()) < ends_at:
        seen.seconds.append(now - started)
        seen.sockets.append(done[0])
        seen.rss_kib.append(memory_of(pid).rss)
        seen.files.append(open_files(pid))
        await asyncio.wait(workers, timeout=SAMPLE_S, return_when=asyncio.FIRST_EXCEPTION)
        for worker in workers:
            if worker.done():
                worker.result()
    await asyncio.gather(*workers)
    return seen


def question(number: int) -> str:
    """Return the question of this number, made of few words."""
    places = (number, number // 27, number // 27**2, number // 27**3)
    return " or ".join(WORDS[place % 27] for place in places)


async def _come_and_go(
    url: str, worker: int, ends_at: float, asking: bool, done: list[int]
) -> None:
    while time.monotonic() < ends_at:
        ended = asyncio.Event()

        def look(payload: bytes, ended: asyncio.Event = ended) -> None:
            if b'"response.completed"' in payload:
                ended.set()
            elif b'"type":"error"' in payload or b'"response.failed"' in payload:
                raise SystemExit(f"the server refused: {payload.decode()}")

        socket = await open_socket(url, worker * 2000, look)
        if asking:
            socket.send(
                {
                    "type": "response.create",
                    "product_id": PRODUCT,
                    "input": question(done[0] * WORKERS + worker),
                }
            )
            await asyncio.wait_for(ended.wait(), ANSWER_S)
        await close_sockets([socket], ANSWER_S)
        done[0] += 1
