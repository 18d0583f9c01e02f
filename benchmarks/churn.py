"""Sockets that come and go, and what that leaves behind in the server: slopes with their errors.

Part of `benchmarks.memory`.
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

SAMPLE_S = 0.5
ANSWER_S = 30.0
PRODUCT = "orrinfeld-od-12"


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
    def per_thousand(self) -> Slope:
        """KiB per 1,000 sockets over the second half."""
        half = len(self.sockets) // 2
        sockets = [float(one) for one in self.sockets[half:]]
        return slope(sockets, self.rss_kib[half:]).times(1000)

    @property
    def per_minute(self) -> Slope:
        """KiB a minute over the second half."""
        half = len(self.seconds) // 2
        return slope(self.seconds[half:], self.rss_kib[half:]).times(60)


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
                    "input": f"How do I change the battery of unit {done[0]} of {worker}?",
                }
            )
            await asyncio.wait_for(ended.wait(), ANSWER_S)
        await close_sockets([socket], ANSWER_S)
        done[0] += 1
