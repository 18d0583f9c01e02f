"""Judgements per second of each export format, from a SQLite store, against a plain loop.

The store is filled with answers that were accepted, modified, rejected and regenerated. The plain
loop reads the same file with `sqlite3`, writes each usable judgement with `json.dumps` and does
nothing else: no check of lines, no split, no hash, no search for repetitions, no golden questions,
no fsync, no manifest. "of plain" is the loop's time divided by ours, both best of the runs.

    python -m benchmarks.exports --help
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness import print_table
from server.datasets.formats import FORMATS
from server.datasets.parquet import MissingExtraError
from server.datasets.service import export
from server.storage.records import AnyRow, FeedbackRow, InteractionRow
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter

NOW = 1_795_255_200_000
WORDS = [
    "hold", "the", "left", "button", "until", "red", "light", "blinks", "then", "release", "power",
    "cable", "menu", "reset",
]  # fmt: skip


def rows_of(index: int) -> Iterable[AnyRow]:
    """Return one question's rows: of ten, six accepted, two modified, one rejected, one redone."""
    kind = index % 10
    text = " ".join(WORDS[(index + step) % len(WORDS)] for step in range(90))
    again = kind == 9
    yield InteractionRow(
        response_id=f"r{index}", started_at=NOW, outcome="completed", items=b"[]",
        question=f"How do I {WORDS[index % 14]} part {index // 2 if kind > 7 else index}?",
        answer=f"{index}: {text}", finish_reason="stop", language="en", latency_ms=900.0,
        product_id=f"p{index % 50 if kind < 8 else 0}", confidence=0.7,
        previous_response_id=f"r{index - 1}" if again else None,
    )  # fmt: skip
    action = "accept" if kind < 6 or again else "modify" if kind < 8 else "reject"
    stamp = NOW - 10_000_000 + index
    yield FeedbackRow(
        event_id=f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7000-8000-{index:012x}",
        response_id=f"r{index}", action=action, received_at=NOW - 1, payload_sha256="0" * 64,
        final_text=f"{text}, {index}" if action == "modify" else None, confidence=0.7,
        user_id=f"u{index % 500}", product_id=f"p{index % 50}",
    )  # fmt: skip


async def fill(store: SqliteStore, count: int) -> None:
    """Write the rows of `count` questions."""
    held: list[AnyRow] = []
    for index in range(count):
        held += rows_of(index)
        if len(held) >= 2000:
            await store.write(held)
            held = []
    await store.write(held)


def plain_loop(path: Path, target: Path) -> float:
    """Write accepted and modified answers with `json.dumps`; return the seconds."""
    started = time.perf_counter()
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT f.action, f.final_text, i.question, i.answer FROM feedback f"
        " JOIN interactions i ON i.response_id = f.response_id AND i.tenant = f.tenant"
        " ORDER BY f.event_id"
    )
    with target.open("w") as file:
        for action, final_text, question, answer in found:
            if action not in ("accept", "modify"):
                continue
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": final_text or answer},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    connection.close()
    return time.perf_counter() - started


async def bare_read(store: SqliteStore) -> float:
    """Read all judgements and do nothing; return the seconds."""
    started = time.perf_counter()
    async for _ in store.judged(Filter()):
        pass
    return time.perf_counter() - started


async def one(store: SqliteStore, name: str, target: Path) -> tuple[float, int, int]:
    """Export once; return seconds, lines and bytes."""
    started = time.perf_counter()
    manifest = await export(store, Filter(), name, "80/10/10", target, now=NOW, version="benchmark")
    spent = time.perf_counter() - started
    shutil.rmtree(target)
    return spent, manifest.lines, sum(entry.bytes for entry in manifest.files)


async def compare(count: int, runs: int) -> None:
    """Fill a store and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SqliteStore(folder / "store.db")
        await store.open()
        await fill(store, count)
        plain = min(plain_loop(folder / "store.db", folder / "plain") for _ in range(runs))
        bare = min([await bare_read(store) for _ in range(runs)])
        rows = [
            ("plain loop, json.dumps", f"{count / plain:,.0f}", "1.00", "-", "-"),
            ("read by the store only", f"{count / bare:,.0f}", f"{plain / bare:.2f}", "-", "-"),
        ]
        for each in FORMATS:
            try:
                done = [await one(store, each, folder / "out") for _ in range(runs)]
            except MissingExtraError:
                rows.append((f"{each} (pyarrow is not installed)", "-", "-", "-", "-"))
                continue
            best, lines, size = min(done)
            ratio = f"{plain / best:.2f}"
            rows.append((each, f"{count / best:,.0f}", ratio, f"{lines:,}", f"{size / 1e6:.1f}"))
        await store.aclose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print_table(
        f"Exports of {count:,} judgements, best of {runs} runs, peak memory {peak:.0f} MiB,"
        f" Python {platform.python_version()}",
        ("format", "judgements/s", "of plain", "lines", "MB"),
        rows,
    )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.exports")
    parser.add_argument("--rows", type=int, default=100_000, help="judgements in the store")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, the best counts")
    options = parser.parse_args()
    asyncio.run(compare(options.rows, options.runs))


if __name__ == "__main__":
    main()
