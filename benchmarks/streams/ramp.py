"""The largest number of streams that a server carries: more and more on the same server.

Begins small, reckons from the server's processor time what it may carry, goes to a good half of
that, then up in small steps until the tokens of the slowest hundredth are too late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks.streams.lateness import take_lateness
from benchmarks.streams.stream import Progress, Stream

LIMITS_MS = (50.0, 100.0)
"""The marks: lateness of 99 of 100 tokens below this."""

MAX_CORE_SHARE = 0.8
"""A core of the reader busier than this may have been late itself: the step tells nothing."""

MIN_WHOLE = 0.98
"""The part of the due tokens that must have come in a window; less is falling behind."""

MAX_OTHERS_SHARE = 0.15
"""More than this of a core for somebody else, on both together: look again."""

OTHERS_HELP = "part of a core that others may use before a look is not believed"

MAX_TRIES = 4
"""Looks at one number of streams, when the machine disturbs them."""

FAR_MS = 10.0
"""Below this lateness a server that always spins is taken to have much room."""

OPEN_PER_S = 250
"""Streams begun in a second: the load is the streaming, not the beginning."""

MAX_OPEN_S = 20.0
"""A server that has not begun to answer all by then is over its limit."""

MAX_STREAMS = 20_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how finely to look. `settle_s` after an addition is left out; `others` is what
    part of a core others may use, on both together."""

    settle_s: float = 0.7
    window_s: float = 2.0
    growth: float = 0.1
    others: float = MAX_OTHERS_SHARE


@dataclass(frozen=True, slots=True)
class Step:
    """What was seen with a number of streams. Shares are of one core; `whole` of the due tokens.
    `is_disturbed` when others used the two cores."""

    streams: int
    p50_ms: float
    p99_ms: float
    whole: float
    server_share: float
    reader_share: float
    others_share: float
    token_us: float
    reads_per_s: float
    faults: dict[str, int]
    is_disturbed: bool

    def holds(self, limit_ms: float) -> bool:
        """Whether the server carried them."""
        return self.p99_ms < limit_ms and self.whole >= MIN_WHOLE and not self.faults

    @property
    def is_valid(self) -> bool:
        """Whether the reader's core had room."""
        return self.reader_share <= MAX_CORE_SHARE


@dataclass(slots=True)
class Ramp:
    """Adds streams and looks. `connect` begins one stream and returns it once it is connected.

    `server_cpu_s` and `reader_cpu_s` tell what was computed so far on the two cores for us,
    `cores_cpu_s` what for anybody. `spins` says that the server computes without end, so that its
    processor time tells nothing.
    """

    connect: Callable[[Progress], Awaitable[Stream]]
    server_cpu_s: Callable[[], float]
    reader_cpu_s: Callable[[], float]
    cores_cpu_s: Callable[[], float]
    rate_per_s: float
    pace: Pace
    first: int
    spins: bool = False
    on_step: Callable[[Step], None] = lambda step: None
    most: int = MAX_STREAMS
    steps: list[Step] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def run(self) -> list[Step]:
        """Go up until every limit is passed, or the reader is full; return the steps."""
        progress = Progress(self.rate_per_s)
        limits, number, tries = list(LIMITS_MS), self.first, 0
        try:
            while limits and number <= self.most:
                await self._grow(progress, number)
                step = await self._look(progress)
                self.steps.append(step)
                self.on_step(step)
                tries += 1
                if not step.is_valid or step.faults:
                    break
                # Once may be the machine's fault: look again at the same number.
                if not step.holds(limits[0]) and tries < (MAX_TRIES if step.is_disturbed else 2):
                    continue
                looks = [one for one in self.steps if one.streams == step.streams]
                while limits and not any(look.holds(limits[0]) for look in looks):
                    limits.pop(0)
                number, tries = self._next(step), 0
        finally:
            for stream in self.streams:
                stream.close()
        return self.steps

    async def _grow(self, progress: Progress, number: int) -> None:
        missing = number - len(self.streams)
        if missing <= 0:
            return
        started = time.perf_counter()
        takes_s = max(self.pace.settle_s * 0.6, missing / OPEN_PER_S)
        begun: list[asyncio.Future[Stream]] = []
        for index in range(missing):
            due = started + takes_s * index / missing
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            begun.append(asyncio.ensure_future(self.connect(progress)))
        try:
            async with asyncio.timeout(MAX_OPEN_S):
                self.streams += await asyncio.gather(*begun)
                await asyncio.gather(*(stream.begun for stream in self.streams))
        except (TimeoutError, OSError) as error:
            progress.faults[f"not begun: {type(error).__name__}"] += 1

    async def _look(self, progress: Progress) -> Step:
        await asyncio.sleep(self.pace.settle_s)
        take_lateness(self.streams)
        before = self._clocks()
        await asyncio.sleep(self.pace.window_s)
        spent = [now - then for now, then in zip(self._clocks(), before, strict=True)]
        took_s, server, reader, cores = spent
        others = max(0.0, cores - server - reader) / took_s
        seen = take_lateness(self.streams)
        due = len(self.streams) * self.rate_per_s * took_s
        return Step(
            streams=len(self.streams),
            p50_ms=seen.p50_ms if seen else float("inf"),
            p99_ms=seen.p99_ms if seen else float("inf"),
            whole=seen.tokens / due if seen and due else 0.0,
            server_share=server / took_s,
            reader_share=reader / took_s,
            others_share=others,
            token_us=server / seen.tokens * 1e6 if seen else float("inf"),
            reads_per_s=seen.reads / took_s if seen else 0.0,
            faults=dict(progress.faults),
            is_disturbed=others > self.pace.others,
        )

    def _clocks(self) -> tuple[float, ...]:
        return time.perf_counter(), self.server_cpu_s(), self.reader_cpu_s(), self.cores_cpu_s()

    def _next(self, step: Step) -> int:
        small = max(step.streams + 1, round(step.streams * (1 + self.pace.growth)))
        if self.spins:
            return step.streams * 2 if step.p99_ms < FAR_MS else small
        if step.server_share < 0.5 and step.p99_ms < LIMITS_MS[0]:
            return max(small, round(step.streams * min(10.0, 0.6 / step.server_share)))
        return small


def largest(steps: list[Step], limit_ms: float) -> Step | None:
    """Return the step with the most streams below the first number that never held; None if that
    is the first."""
    best = None
    for step in steps:
        if step.holds(limit_ms):
            best = step
        elif first_failure(steps, limit_ms) == step.streams:
            break
    return best


def first_failure(steps: list[Step], limit_ms: float) -> int | None:
    """Return the first number of streams that no look found to hold, None without one."""
    held = {step.streams for step in steps if step.holds(limit_ms)}
    return next((step.streams for step in steps if step.streams not in held), None)
