"""What senders, memory and the journal see while PostgreSQL is away, and what is left after it.

A writer and a drainer, as in a serving process, with a real PostgreSQL and a real Redis journal
(append-only file on). Judgements are sent at a fixed pace, whether or not earlier ones were
answered: first with all services there, which is what the rest compares with; then PostgreSQL is
stopped; then it is there again, until the journal is empty; then both are away. In the end each
judgement that was acknowledged is looked for in the store.

    python -m benchmarks.outage --help
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import resource
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import percentile, print_table
from benchmarks.services import Redis, postgres_server, redis_server
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
"""Longest that the journal may take; the goal is 60 s."""


@dataclass
class Phase:
    """What happened while the services were as `name` says."""

    name: str
    waits_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    most_bytes: int = 0
    seconds: float = 0

    def row(self, base_bytes: int) -> tuple[str, ...]:
        """Return its row of the table."""
        waits = [f"{percentile(self.waits_s, q) * 1000:,.1f}" for q in (0.5, 0.99)]
        answers = ", ".join(f"{count:,} {name}" for name, count in sorted(self.answers.items()))
        grown = f"{max(0, self.most_bytes - base_bytes) / 2**20:+,.1f}"
        rate = f"{len(self.waits_s) / self.seconds:,.0f}"
        return (self.name, rate, *waits, f"{max(self.waits_s) * 1000:,.1f}", answers, grown)


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


async def run(options: argparse.Namespace, redis: Redis) -> None:
    """Go through all phases; print the table."""
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
        phases = [await during(load, "all there", options.warm)]
        base = resident_bytes()
        await asyncio.to_thread(postgres.stop)
        phases.append(await during(load, "PostgreSQL away", options.seconds))
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
    print_table(
        f"{options.rate:,.0f} judgements/s, PostgreSQL away for {options.seconds:g} s; Python"
        f" {platform.python_version()}",
        ("services", "sent/s", "p50 ms", "p99 ms", "max ms", "answers", "memory MiB"),
        [phase.row(base) for phase in phases],
    )
    print(
        f"{waiting:,} went to the journal, which was empty {phases[2].seconds:.1f} s after"
        " PostgreSQL was back"
    )
    print(f"{acked:,} were acknowledged, {missing:,} of them are not in the store")


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.outage")
    parser.add_argument("--rate", type=float, default=2000, help="judgements a second")
    parser.add_argument("--warm", type=float, default=10, help="seconds with all services there")
    parser.add_argument("--seconds", type=float, default=60, help="seconds without PostgreSQL")
    parser.add_argument("--both", type=float, default=10, help="seconds without both")
    options = parser.parse_args()
    with redis_server() as redis:
        asyncio.run(run(options, redis))


if __name__ == "__main__":
    main()
