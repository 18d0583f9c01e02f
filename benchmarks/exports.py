"""Judgements per second of each export format, from a SQLite store, against a plain loop.

The store is filled with answers that were accepted, modified, rejected and regenerated. The plain
loop reads the same file with `sqlite3`, writes each usable judgement with `json.dumps` and does
nothing else: no check of lines, no split, no hash, no search for repetitions, no golden questions,
no fsync, no manifest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Result, refused
from benchmarks.tables import publish
from server.datasets.formats import FORMATS
from server.datasets.parquet import MissingExtraError
from server.datasets.service import export
from server.storage.records import AnyRow, FeedbackRow, InteractionRow
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter

PLAIN, BARE = "plain loop, json.dumps", "read by the store only"
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


async def compare(result: Result, options: argparse.Namespace) -> None:
    """Fill a store and add the rows; the ways take turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SqliteStore(folder / "store.db")
        await store.open()
        await fill(store, options.rows)
        rates: dict[str, list[float]] = {PLAIN: [], BARE: []}
        written: dict[str, tuple[int, int]] = {}
        absent: dict[str, str] = {}
        for _ in range(options.rounds):
            rates[PLAIN].append(options.rows / plain_loop(folder / "store.db", folder / "plain"))
            rates[BARE].append(options.rows / await bare_read(store))
            for each in FORMATS:
                try:
                    spent, *written[each] = await one(store, each, folder / "out")
                except MissingExtraError:
                    absent[each] = "pyarrow is not installed"
                    continue
                rates.setdefault(each, []).append(options.rows / spent)
        await store.aclose()
    for label, values in rates.items():
        lines, size = written.get(label, (None, None))
        megabytes = size / 1e6 if size else None
        result.add(label, baseline=label == PLAIN, rate=values, lines=lines, size=megabytes)
    for label, reason in absent.items():
        result.add(label, rate=refused(reason))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result.notes.append(f"Peak memory {peak:.0f} MiB.")


def main() -> None:
    """Measure and publish."""
    arguments = Arguments("exports", __doc__)
    arguments.size("--rows", 100_000, 10_000, "judgements in the store")
    arguments.size("--rounds", 3, 2, "exports of each format, in turns")
    options = arguments.parse_args()
    result = Result(
        "exports",
        f"Exports of {options.rows:,} judgements",
        "How many judgements a second are exported, against a loop that only writes lines?",
        [
            Measure("rate", "judgements a second", ratio=True, better="more"),
            Measure("lines", "lines"),
            Measure("size", "size", "MB"),
        ],
        quick=options.quick,
    )
    asyncio.run(compare(result, options))
    for each in ("openai-chat", "openai-preference"):
        result.figure(f"{each} lines", each, "rate", ratio=True)
    result.plots.append(Bars("rate"))
    publish(result)


if __name__ == "__main__":
    main()
