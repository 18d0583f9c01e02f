"""Measure acknowledged judgements per second against what the store itself can commit.

The limit is the store's own group commit: the same rows in batches of as many as the writer may
take, one after the other, nothing else. The writer gets them from many senders at once, each
waiting for its acknowledgement before it sends the next. `--rate` then measures the wait for an
acknowledgement at a fixed pace. `benchmarks/outage.py` has what happens while the store is away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections import Counter

from benchmarks.services import postgres
from protocol.errors import EventError
from server.feedback.writer import MAX_ROWS, Writer
from server.storage.opening import open_store
from server.storage.records import FeedbackRow

ROW = "{:<34} {:>10} {:>9} {:>9} {:>9}"


def rows_of(count: int) -> list[FeedbackRow]:
    """Judgements as clients send them, with ids of this moment."""
    now_ms = int(time.time() * 1000)
    made = []
    for number in range(count):
        bits = uuid.uuid4().int & ((1 << 62) - 1)
        low = 0x7 << 76 | (number & 0xFFF) << 64 | 0b10 << 62 | bits
        made.append(
            FeedbackRow(
                event_id=str(uuid.UUID(int=now_ms << 80 | low)),
                response_id=f"resp_{uuid.uuid4().hex}",
                action=("accept", "reject", "dismiss")[number % 3],
                received_at=now_ms,
                payload_sha256=f"{bits:064x}",
                tags=("factual_error",),
                comment="The page is right, but the key is on the left side.",
                metadata={"client": "benchmark"},
                product_id=f"product-{number % 20}",
                scenario="general",
                prompt_version="answer/general/1",
                model="extractive",
                confidence=number % 100 / 100,
            )
        )
    return made


def line(name: str, rate: float | None, waits_s: list[float]) -> None:
    """Print one row of the table; waits in milliseconds."""
    waits = sorted(waits_s)
    times = [f"{waits[int(len(waits) * q)] * 1000:.2f}" if waits else "" for q in (0.5, 0.99)]
    most = f"{waits[-1] * 1000:.2f}" if waits else ""
    print(ROW.format(name, "" if rate is None else f"{rate:,.0f}", *times, most))


async def direct(store, rows: list[FeedbackRow], batch: int) -> tuple[float, list[float]]:
    """Commit rows in batches; rows per second and the time of each commit."""
    waits = []
    started = time.perf_counter()
    for at in range(0, len(rows), batch):
        begun = time.perf_counter()
        await store.write(rows[at : at + batch])
        waits.append(time.perf_counter() - begun)
    return len(rows) / (time.perf_counter() - started), waits


async def closed_loop(writer: Writer, rows: list[FeedbackRow], senders: int):
    """Send rows from `senders` at once, each waiting for its answer; rate and waits."""
    waiting = iter(rows)
    waits: list[float] = []

    async def send() -> None:
        for row in waiting:
            begun = time.perf_counter()
            await writer.submit(row)
            waits.append(time.perf_counter() - begun)

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(senders)))
    return len(rows) / (time.perf_counter() - started), waits


async def open_loop(writer: Writer, rows: list[FeedbackRow], rate: float):
    """Send rows at a pace, whether or not earlier ones were answered; answers and waits."""
    answers: Counter[str] = Counter()
    waits: list[float] = []

    async def send(row: FeedbackRow, due: float) -> None:
        try:
            answers[(await writer.submit(row)).level] += 1
        except EventError as error:
            answers[error.code] += 1
        waits.append(time.perf_counter() - due)

    started = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()
    for number, row in enumerate(rows):
        due = started + number / rate
        if (ahead_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead_s)
        task = asyncio.create_task(send(row, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return len(rows) / (time.perf_counter() - started), waits, answers


async def measure(url: str, options: argparse.Namespace) -> None:
    """Print the table's rows of one store."""
    kind = url.split(":", 1)[0]
    store = open_store(url, now=time.time)
    await store.open()
    await store.write(rows_of(100))
    limits, reached = [], []
    for turn in range(options.repeats):
        rate, waits = await direct(store, rows_of(options.events), MAX_ROWS)
        limits.append(rate)
        line(f"{kind}: direct, {MAX_ROWS} a commit, run {turn + 1}", rate, waits)
        writer = Writer(store)
        writer.start()
        rate, waits = await closed_loop(writer, rows_of(options.events), options.senders)
        reached.append(rate)
        line(f"{kind}: writer, {options.senders} senders, run {turn + 1}", rate, waits)
        await writer.aclose()
    share = sorted(reached)[len(reached) // 2] / sorted(limits)[len(limits) // 2]
    print(f"{kind}: the writer reaches {share:.0%} of the store's own limit (medians)")
    writer = Writer(store)
    writer.start()
    rows = rows_of(int(options.rate * options.seconds))
    rate, waits, answers = await open_loop(writer, rows, options.rate)
    line(f"{kind}: writer at {options.rate:g} events/s", rate, waits)
    print(f"  answers {dict(answers)}")
    await writer.aclose()
    await store.aclose()


async def run(options: argparse.Namespace) -> None:
    print(ROW.format("", "rows/s", "p50 ms", "p99 ms", "max ms"))
    with tempfile.TemporaryDirectory() as folder:
        await measure(f"sqlite:///{folder}/feedback.db", options)
    with postgres(options.postgres) as (url, _):
        await measure(url, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="rows of each run")
    parser.add_argument("--senders", type=int, default=2000, help="senders at once")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turns")
    parser.add_argument("--rate", type=float, default=5000, help="events/s of the paced run")
    parser.add_argument("--seconds", type=float, default=5, help="length of the paced run")
    parser.add_argument(
        "--postgres",
        default=os.environ.get("MANICULE_TEST_POSTGRES_URL", ""),
        help="URL of an empty PostgreSQL database, which is written to; else one is made",
    )
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
