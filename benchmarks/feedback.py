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
import tempfile
import time
import uuid
from collections import Counter

from benchmarks.arguments import Arguments
from benchmarks.harness import percentile
from benchmarks.results import Bars, Measure, Result
from benchmarks.services import postgres
from benchmarks.tables import publish
from protocol.errors import EventError
from server.feedback.writer import MAX_ROWS, Writer
from server.storage.opening import open_store
from server.storage.records import FeedbackRow

DIRECT = "the store alone"
GOAL = 0.8
"""Share of the store's own limit that the writer is to reach."""

GOAL_P99_MS = 10.0
"""Longest that an acknowledgement is to take at `GOAL_RATE` judgements a second."""

GOAL_RATE = 5000.0


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


async def direct(store, rows: list[FeedbackRow], batch: int) -> tuple[float, list[float]]:
    """Commit rows in batches; rows per second and the time of each commit."""
    took = []
    started = time.perf_counter()
    for at in range(0, len(rows), batch):
        begun = time.perf_counter()
        await store.write(rows[at : at + batch])
        took.append(time.perf_counter() - begun)
    return len(rows) / (time.perf_counter() - started), took


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


def in_ms(rounds: list[list[float]]) -> dict[str, list[float]]:
    """Return p50, p99 and the longest wait of each round, in milliseconds."""
    shares = {"p50": 0.5, "p99": 0.99, "most": 1.0}
    return {
        name: [percentile(each, share) * 1000 for each in rounds] for name, share in shares.items()
    }


async def measure(result: Result, url: str, options: argparse.Namespace) -> None:
    """Add the rows of one store."""
    kind = url.split(":", 1)[0]
    store = open_store(url, now=time.time)
    await store.open()
    await store.write(rows_of(100))
    limits, reached = [], []
    for _ in range(options.rounds):
        limits.append(await direct(store, rows_of(options.events), MAX_ROWS))
        writer = Writer(store)
        writer.start()
        reached.append(await closed_loop(writer, rows_of(options.events), options.senders))
        await writer.aclose()
    writer = Writer(store)
    writer.start()
    rows = rows_of(int(options.rate * options.seconds))
    rate, paced, answers = await open_loop(writer, rows, options.rate)
    await writer.aclose()
    await store.aclose()
    ours = f"writer, {options.senders} senders"
    for label, rounds in ((DIRECT, limits), (ours, reached)):
        rates, each = zip(*rounds, strict=True)
        result.add(label, group=kind, baseline=label == DIRECT, rate=rates, **in_ms(list(each)))
    result.figure(
        f"acknowledged a second, {kind}", ours, "rate", group=kind, ratio=True, at_least=GOAL
    )
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(answers.items()))
    label, group = f"writer at {options.rate:g} a second", f"{kind}, paced"
    result.add(label, group=group, rate=rate, note=told, **in_ms([paced]))
    if options.rate == GOAL_RATE:
        result.figure(f"p99 of {label}, {kind}", label, "p99", group=group, at_most=GOAL_P99_MS)


async def run(result: Result, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await measure(result, f"sqlite:///{folder}/feedback.db", options)
    with postgres(options.postgres) as (url, _):
        await measure(result, url, options)


def main() -> None:
    arguments = Arguments("feedback", __doc__)
    arguments.size("--events", 50_000, 5_000, "rows of each run")
    arguments.size("--senders", 2000, 500, "senders at once")
    arguments.size("--rounds", 3, 2, "runs of each, in turns")
    arguments.size("--rate", 5000.0, 1000.0, "events/s of the paced run")
    arguments.size("--seconds", 5.0, 2.0, "length of the paced run")
    arguments.add_argument(
        "--postgres",
        default=os.environ.get("MANICULE_TEST_POSTGRES_URL", ""),
        help="URL of an empty PostgreSQL database, which is written to; else one is made",
    )
    options = arguments.parse_args()
    result = Result(
        "feedback",
        f"Acknowledged judgements, {options.events:,} a round",
        "How many judgements a second are acknowledged, against what the store itself commits?",
        [
            Measure("rate", "rows a second", ratio=True, better="more"),
            Measure("p50", "wait, p50", "ms"),
            Measure("p99", "wait, p99", "ms"),
            Measure("most", "longest", "ms"),
        ],
        quick=options.quick,
        notes=[f"The store alone commits {MAX_ROWS:,} rows at a time, one commit after the other."],
    )
    asyncio.run(run(result, options))
    result.plots.append(Bars("rate"))
    publish(result)


if __name__ == "__main__":
    main()
