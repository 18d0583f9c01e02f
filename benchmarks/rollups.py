"""Statistics over many judgements: each query of the product against the raw rows.

Both stores are filled with the same judgements, evenly over a year: 200 products, 20,000 users,
seven types of item, three scenarios, six prompt versions, three models, three arms. Each question
then goes through `server.insights`, once over the store as it is and once over a store whose counts
are taken from the judgements alone. Both must say the same.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.arguments import Arguments
from benchmarks.filled_store import Filling, fill_postgres, fill_sqlite
from benchmarks.results import Bars, Measure, Refused, Result, refused
from benchmarks.services import cpu_ms, postgres
from benchmarks.tables import publish
from server.insights import service
from server.storage.columns import DAY_MS
from server.storage.counting import Counting
from server.storage.migrating import migrate
from server.storage.opening import open_store
from server.storage.postgres_store import PostgresStore
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter
from server.storage.tallies import merge

NOW_MS = 1_795_255_200_000
DAYS = 365
GOAL_MS = 50
OURS, RAW = "from the sums", "from the rows"
KINDS = ("sqlite", "postgres")

Store = SqliteStore | PostgresStore
Question = Callable[[Store, int], Awaitable[object]]


class RawCounts:
    """A store of which only the judgements themselves are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def tally(self, by, where):
        """Count judgements by groups."""
        lite = isinstance(self._store, SqliteStore)
        query = Counting(by, where, "?" if lite else "$").from_rows()
        read = self._store._select if lite else self._store._pool.select
        return merge(by, (await read(query.text, query.args), []))


def acceptance(*by: str, **where: object) -> Question:
    """Return the question for acceptance by groups."""
    return lambda store, now: service.acceptance(store, Filter(**where), by)


def trend(every: str, **where: object) -> Question:
    """Return the question for a trend."""
    return lambda store, now: service.trends(store, Filter(**where), now=now, every=every)


YEAR = {"since": NOW_MS - DAYS * DAY_MS}
MONTH_AGO = NOW_MS - 30 * DAY_MS - 7 * 3_600_000
UNALIGNED = {"since": MONTH_AGO, "until": NOW_MS - 5 * DAY_MS - 3_600_000}
LONG_UNALIGNED = {"since": NOW_MS - 300 * DAY_MS - 7 * 3_600_000, "until": NOW_MS - 3_600_000}

QUESTIONS: dict[str, Question] = {
    "all": acceptance(),
    "by type": acceptance("item_type"),
    "by product": acceptance("product_id"),
    "by day": acceptance("day"),
    "by model": acceptance("model"),
    "by prompt version": acceptance("prompt_version"),
    "by tenth of confidence": acceptance("confidence_bin"),
    "by product, confidence from 0.7": acceptance("product_id", min_confidence=0.7),
    "by product and model": acceptance("product_id", "model"),
    "by product and tenth of confidence": acceptance("product_id", "confidence_bin"),
    "by type of one product": acceptance("item_type", product_id="product-7"),
    "by model, 25 days and two parts": acceptance("model", **UNALIGNED),
    "by product, 25 days and two parts": acceptance("product_id", **UNALIGNED),
    "by product and model, 25 days and two parts": acceptance("product_id", "model", **UNALIGNED),
    "by product and type, 300 days and two parts": acceptance(
        "product_id", "item_type", **LONG_UNALIGNED
    ),
    "trend of 30 days": trend("day"),
    "trend of a year by weeks": trend("week", **YEAR),
    "trend of a year, one product": trend("day", product_id="product-7", **YEAR),
    "trend of 30 days, one product and model": trend(
        "day", product_id="product-7", model="extractive"
    ),
    "user of average activity": lambda store, now: service.user_stats(
        store, "user-7000", Filter(), now=now
    ),
    "most active user": lambda store, now: service.user_stats(store, "user-0", Filter(), now=now),
}


@dataclass
class Timed:
    """What a question took, in milliseconds, the work of one, and what it said."""

    times_ms: list[float]
    cpu_ms: float
    said: bytes


async def timed(question: Question, store: object, runs: int, server: int | None) -> Timed:
    """Ask so many times; `server` is the process whose work counts too."""
    times = []
    worked = cpu_ms(server)
    for _ in range(runs):
        begun = time.perf_counter()
        said = await question(store, NOW_MS)  # type: ignore[arg-type]
        times.append((time.perf_counter() - begun) * 1000)
    return Timed(times, (cpu_ms(server) - worked) / runs, msgspec.json.encode(said))


async def measure(
    result: Result, kind: str, store: Store, options: argparse.Namespace, server: int | None = None
) -> None:
    """Add the rows of one store: a question is a group, the raw rows its alternative."""
    for name, question in QUESTIONS.items():
        if options.only and options.only not in name:
            continue
        group = f"{kind}: {name}"
        ours = await timed(question, store, options.rounds, server)
        if options.raw_rounds:
            raw = await timed(question, RawCounts(store), options.raw_rounds, server)
            if raw.said != ours.said:
                raise SystemExit(f"{kind}: {name}: the sums and the rows disagree")
            result.add(RAW, group=group, baseline=True, ms=raw.times_ms, cpu=computed(raw))
        result.add(OURS, group=group, ms=ours.times_ms, cpu=computed(ours))


def name_slowest(result: Result, kind: str) -> None:
    """Put the slowest question of a store into the summary."""
    rows = [row for row in result.rows if row.group.startswith(kind) and row.label == OURS]
    if rows:
        slowest = max(rows, key=lambda row: median(row.cells["ms"].rounds))
        text = f"slowest of {len(rows)} questions, {slowest.group}"
        result.figure(text, OURS, "ms", group=slowest.group, at_most=GOAL_MS)


def computed(found: Timed) -> float | Refused:
    """Return the work of one question."""
    if found.cpu_ms > 0:
        return found.cpu_ms
    return refused("a process of the server ended meanwhile")


async def prepared(url: str, filling: Filling, result: Result) -> Store:
    """Migrate, fill and open a store; the time goes to the notes."""
    begun = time.perf_counter()
    await migrate(url)
    if url.startswith("sqlite"):
        await asyncio.to_thread(fill_sqlite, Path(url.removeprefix("sqlite:///")), filling)
    else:
        await fill_postgres(url, filling)
    filled = time.perf_counter()
    store = open_store(url, now=lambda: NOW_MS / 1000)
    await store.open()
    opened = time.perf_counter()
    spans = await store.sum_up(NOW_MS // DAY_MS)
    spent = time.perf_counter() - opened
    kind = url.split(":", 1)[0]
    took = f"{kind} filled in {filled - begun:,.0f} s, {spans} spans summed in {spent:,.0f} s."
    result.notes.append(took)
    print(took, file=sys.stderr)
    return store  # type: ignore[return-value]


async def run(result: Result, options: argparse.Namespace) -> None:
    """Fill both stores and ask everything."""
    filling = Filling(options.rows, DAYS, NOW_MS)
    folder = Path(tempfile.mkdtemp(prefix="manicule-rollups-", dir=options.folder))
    try:
        if "sqlite" in options.stores:
            store = await prepared(f"sqlite:///{folder}/filled.db", filling, result)
            await measure(result, "sqlite", store, options)
            await store.aclose()
            shutil.rmtree(folder)
        if "postgres" in options.stores:
            with postgres(options.postgres) as (url, server):
                store = await prepared(url, filling, result)
                await measure(result, "postgres", store, options, server)
                await store.aclose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure and publish."""
    arguments = Arguments("rollups", __doc__)
    arguments.size("--rows", 1_000_000, 50_000, "judgements in each store")
    arguments.size("--rounds", 9, 3, "times that each question is asked")
    arguments.size("--raw-rounds", 3, 1, "times over the rows; 0 for none")
    arguments.add_argument("--only", default="", help="questions whose name has this in it")
    arguments.add_argument("--stores", default="sqlite,postgres", help="which to measure")
    arguments.add_argument("--folder", help="where to make the SQLite file (10 GB for 10 M rows)")
    arguments.add_argument("--postgres", default="", help="URL of an empty database, else of ours")
    options = arguments.parse_args()
    result = Result(
        "rollups",
        f"Statistics over {options.rows:,} judgements of {DAYS} days",
        "How long does a question take from the sums that are kept, against the rows themselves?",
        [Measure("ms", "time", "ms", ratio=True), Measure("cpu", "computing", "ms")],
        quick=options.quick,
    )
    asyncio.run(run(result, options))
    for kind in KINDS:
        name_slowest(result, kind)
    result.plots += [Bars("ms", log=True, groups=kind, limit=GOAL_MS) for kind in KINDS]
    publish(result)


if __name__ == "__main__":
    main()
