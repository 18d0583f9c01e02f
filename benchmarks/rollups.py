"""Statistics over many judgements: each query of the product against the raw rows.

Both stores are filled with the same judgements, evenly over a year: 200 products, 20,000 users,
seven types of item, three scenarios, six prompt versions, three models, three arms. Each question
then goes through `server.insights`, once over the store as it is and once over a store whose counts
are taken from the judgements alone. Both must say the same.

    python -m benchmarks.rollups --help
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.filled_store import Filling, fill_postgres, fill_sqlite
from benchmarks.harness import print_table
from benchmarks.services import cpu_ms, postgres
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
    """What a question took, in milliseconds, and what it said."""

    times_ms: list[float]
    cpu_ms: float
    said: bytes

    @property
    def computed(self) -> str:
        """The work of one question, unless a process of the server ended meanwhile."""
        return f"{self.cpu_ms:,.1f}" if self.cpu_ms > 0 else "-"

    def __str__(self) -> str:
        low, middle, high = min(self.times_ms), median(self.times_ms), max(self.times_ms)
        return f"{middle:,.1f} ({low:,.1f}-{high:,.1f})"


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
    kind: str, store: Store, options: argparse.Namespace, server: int | None = None
) -> list[tuple[str, ...]]:
    """Return the rows of one store's part of the table."""
    rows = []
    for name, question in QUESTIONS.items():
        if options.only and options.only not in name:
            continue
        ours = await timed(question, store, options.runs, server)
        line = [f"{kind}: {name}", str(ours), ours.computed]
        line.append("yes" if median(ours.times_ms) < GOAL_MS else "no")
        if options.raw_runs:
            raw = await timed(question, RawCounts(store), options.raw_runs, server)
            if raw.said != ours.said:
                raise SystemExit(f"{kind}: {name}: the sums and the rows disagree")
            ratio = median(raw.times_ms) / median(ours.times_ms)
            line += [str(raw), f"{ratio:,.0f}"]
        else:
            line += ["-", "-"]
        rows.append(tuple(line))
    return rows


async def prepared(url: str, filling: Filling, note: list[str]) -> Store:
    """Migrate, fill and open a store; the time goes to the note."""
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
    note.append(f"{kind} filled in {filled - begun:,.0f} s, {spans} spans summed in {spent:,.0f} s")
    print(note[-1], file=sys.stderr)
    return store  # type: ignore[return-value]


async def run(options: argparse.Namespace) -> None:
    """Fill both stores, ask everything, print the table."""
    filling = Filling(options.rows, DAYS, NOW_MS)
    table: list[tuple[str, ...]] = []
    note: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="manicule-rollups-", dir=options.folder))
    try:
        if "sqlite" in options.stores:
            store = await prepared(f"sqlite:///{folder}/filled.db", filling, note)
            table += await measure("sqlite", store, options)
            await store.aclose()
            shutil.rmtree(folder)
        if "postgres" in options.stores:
            with postgres(options.postgres) as (url, server):
                store = await prepared(url, filling, note)
                table += await measure("postgres", store, options, server)
                await store.aclose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(
        f"{options.rows:,} judgements over {DAYS} days, medians of {options.runs} runs and of"
        f" {options.raw_runs} over the rows (least-most), Python {platform.python_version()};"
        f" {', '.join(note)}",
        ("question", "ms", "CPU ms", f"under {GOAL_MS} ms", "from the rows, ms", "rows / ours"),
        table,
    )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.rollups")
    parser.add_argument("--rows", type=int, default=1_000_000, help="judgements in each store")
    parser.add_argument("--runs", type=int, default=9, help="times that each question is asked")
    parser.add_argument("--raw-runs", type=int, default=3, help="times over the rows; 0 for none")
    parser.add_argument("--only", default="", help="questions whose name has this in it")
    parser.add_argument("--stores", default="sqlite,postgres", help="which to measure")
    parser.add_argument("--folder", help="where to make the SQLite file (10 GB for 10 M rows)")
    parser.add_argument("--postgres", default="", help="URL of an empty database, else one is made")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
