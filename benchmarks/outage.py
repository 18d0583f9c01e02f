"""What senders, memory and the journal see while PostgreSQL is away, and what is left after it.

A writer and a drainer, as in a serving process, with a real PostgreSQL and a real Redis journal
(append-only file on). Judgements are sent at a fixed pace, whether or not earlier ones were
answered: first with all services there, which is what the rest compares with; then PostgreSQL is
stopped; then it is there again, until the journal is empty; then both are away. In the end each
judgement that was acknowledged is looked for in the store.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arguments import Arguments
from benchmarks.harness import percentile
from benchmarks.results import Bars, Measure, Result
from benchmarks.services import Redis, postgres_server, redis_server
from benchmarks.tables import publish
from protocol.errors import EventError
from server.feedback.drainer import Drainer
from server.feedback.writer import Writer
from server.storage.journal import JournalError
from server.storage.opening import open_store
from server.storage.records import FeedbackRow
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import RedisJournal

ACKED = frozenset({"committed", "logged"})
SAMPLE_S = 0.1
DRAIN_S = 300.0
"""Longest that the journal may take."""

GOAL_DRAINED_S = 60.0
GOAL_MIB = 64.0
ALL_THERE, AWAY = "all there", "PostgreSQL away"
DRAINED, IN_THE_END = "the journal after it", "in the end"


@dataclass
class Phase:
    """What happened while the services were as `name` says."""

    name: str
    waits_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    most_bytes: int = 0
    seconds: float = 0

    def add_to(self, result: Result, base_bytes: int) -> None:
        """Add its row."""
        answers = ", ".join(f"{count:,} {name}" for name, count in sorted(self.answers.items()))
        shares = {"p50": 0.5, "p99": 0.99, "most": 1.0}
        result.add(
            self.name,
            baseline=self.name == ALL_THERE,
            note=answers,
            rate=len(self.waits_s) / self.seconds,
            memory=max(0, self.most_bytes - base_bytes) / 2**20,
            **{name: percentile(self.waits_s, share) * 1000 for name, share in shares.items()},
        )


class Load:
    """Sends numbered judgements at a pace and keeps, a byte each, which were acknowledged."""

    def __init__(self, writer: Writer, rate: float) -> None:
        self._writer = writer
        self._rate = rate
        self._base_ms = int(time.time() * 1000)
        self.acked = bytearray()

    def event_id(self, number: int) -> str:
        """Return the id of a judgement: a UUIDv7 of its number."""
        bits = (self._base_ms << 80) | (0x7 << 76) | (0b10 << 62) | number
        return str(uuid.UUID(int=bits))

    def _row(self, number: int) -> FeedbackRow:
        return FeedbackRow(
            event_id=self.event_id(number),
            response_id=f"resp_{number:032x}",
            action=("accept", "reject", "dismiss")[number % 3],
            received_at=int(time.time() * 1000),
            payload_sha256=f"{number:064x}",
            tags=("factual_error",),
            comment="The page is right, but the key is on the left side.",
            metadata={"client": "benchmark"},
            product_id=f"product-{number % 20}",
            scenario="general",
            prompt_version="answer/general/1",
            model="extractive",
            confidence=number % 100 / 100,
        )

    async def run(self, phase: Phase, until: asyncio.Event) -> None:
        """Send until told to end; return when all are answered."""
        tasks: set[asyncio.Task[None]] = set()
        started = time.perf_counter()
        count = 0
        while not until.is_set():
            due = started + count / self._rate
            if (ahead_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead_s)
                phase.most_bytes = max(phase.most_bytes, resident_bytes())
            number = len(self.acked)
            self.acked.append(0)
            count += 1
            task = asyncio.create_task(self._send(number, due, phase))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        phase.seconds = time.perf_counter() - started
        await asyncio.gather(*tasks)

    async def _send(self, number: int, due: float, phase: Phase) -> None:
        try:
            answer = (await self._writer.submit(self._row(number))).level
            self.acked[number] = 1
        except EventError as error:
            answer = error.code
        phase.answers[answer] += 1
        phase.waits_s.append(time.perf_counter() - due)


def resident_bytes() -> int:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def during(load: Load, name: str, seconds: float) -> Phase:
    """Send for so long."""
    phase, until = Phase(name), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    await load.run(phase, until)
    return phase


async def drained(journal: RedisJournal) -> None:
    """Return when the journal is empty, or after all the time that it may take."""
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        with suppress(JournalError):  # asked again when it is slow
            if not await journal.size():
                return
        await asyncio.sleep(SAMPLE_S)


async def until_empty(load: Load, journal: RedisJournal, name: str) -> Phase:
    """Send until the journal is empty."""
    phase, until = Phase(name), asyncio.Event()
    sending = asyncio.create_task(load.run(phase, until))
    await drained(journal)
    until.set()
    await sending
    return phase


async def lost(load: Load, url: str) -> tuple[int, int]:
    """Return how many judgements were acknowledged, and how many of them the store has not."""
    import asyncpg

    connection = await asyncpg.connect(url)
    statement = "SELECT COUNT(*) FROM feedback WHERE event_id = ANY($1::uuid[])"
    ids = [load.event_id(number) for number, one in enumerate(load.acked) if one]
    found = 0
    for at in range(0, len(ids), 5000):
        found += await connection.fetchval(statement, ids[at : at + 5000])
    await connection.close()
    return len(ids), len(ids) - found


async def run(result: Result, options: argparse.Namespace, redis: Redis) -> None:
    """Go through all phases; add their rows."""
    with postgres_server() as postgres:
        store = open_store(postgres.url, now=time.time)
        await store.open()
        client = RedisClient(redis.url)
        journal = RedisJournal(client)
        drainer = Drainer(store, journal, consumer="benchmark")
        writer = Writer(store, journal=journal)
        drainer.start()
        writer.start()
        load = Load(writer, options.rate)
        phases = [await during(load, ALL_THERE, options.warm)]
        base = resident_bytes()
        await asyncio.to_thread(postgres.stop)
        phases.append(await during(load, AWAY, options.seconds))
        waiting = phases[-1].answers["logged"]
        await asyncio.to_thread(postgres.start)
        phases.append(await until_empty(load, journal, "PostgreSQL back, until drained"))
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(redis.kill)
        phases.append(await during(load, "both away", options.both))
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(postgres.start)
        phases.append(await during(load, "both back", options.warm))
        await writer.aclose()
        await drained(journal)
        acked, missing = await lost(load, postgres.url)
        await drainer.aclose()
        await store.aclose()
        await client.aclose()
    for phase in phases:
        phase.add_to(result, base)
    result.add(
        IN_THE_END, missing=missing, note=f"of {acked:,} acknowledged, looked for in the store"
    )
    result.add(DRAINED, drained=phases[2].seconds, note=f"{waiting:,} were in the journal")


def main() -> None:
    """Measure and publish."""
    arguments = Arguments("outage", __doc__)
    arguments.size("--rate", 2000.0, 500.0, "judgements a second")
    arguments.size("--warm", 10.0, 2.0, "seconds with all services there")
    arguments.size("--seconds", 60.0, 5.0, "seconds without PostgreSQL")
    arguments.size("--both", 10.0, 3.0, "seconds without both")
    options = arguments.parse_args()
    result = Result(
        "outage",
        f"{options.rate:,.0f} judgements a second, PostgreSQL away for {options.seconds:g} s",
        "What do senders, memory and the journal see of an outage, and what is lost?",
        [
            Measure("rate", "sent a second", better="more"),
            Measure("p50", "wait, p50", "ms"),
            Measure("p99", "wait, p99", "ms", ratio=True),
            Measure("most", "longest", "ms"),
            Measure("memory", "memory", "MiB more"),
            Measure("drained", "drained", "s"),
            Measure("missing", "lost"),
        ],
        quick=options.quick,
    )
    with redis_server() as redis:
        asyncio.run(run(result, options, redis))
    result.figure("memory while PostgreSQL is away", AWAY, "memory", at_most=GOAL_MIB)
    result.figure("the journal is empty again", DRAINED, "drained", at_most=GOAL_DRAINED_S)
    result.figure("acknowledged and lost", IN_THE_END, "missing", at_most=0)
    result.plots.append(Bars("p99", log=True))
    publish(result)


if __name__ == "__main__":
    main()
