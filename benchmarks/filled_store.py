"""A store of record filled with many judgements at once, the same ones in SQLite and PostgreSQL.

Row n is a function of n alone, in integer arithmetic that both databases do alike; the databases
make the rows themselves, and the daily sums from them, as the writer would have added them up one
batch after another. Only the keys of the sums differ: here they are counted, not hashed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import asyncpg

from server.storage.columns import DAY_MS, FEEDBACK_COLUMNS
from server.storage.months import Month
from server.storage.postgres_partitions import Partitions
from server.storage.tallies import ALL_APART, DIMENSIONS, ROLL_UP_COLUMNS, TOGETHER

CHUNK_ROWS = 100_000

PRODUCTS = 200
USERS = 20_000

_LEVELLED = (*DIMENSIONS, "confidence_bin")


@dataclass(frozen=True)
class Filling:
    """`rows` judgements, evenly over the `days` that end at `now_ms`."""

    rows: int
    days: int
    now_ms: int

    @property
    def first_ms(self) -> int:
        """When the first judgement arrived."""
        return self.now_ms - self.days * DAY_MS

    @property
    def arrival(self) -> str:
        """SQL of the time at which judgement n arrived."""
        return f"{self.first_ms} + n * {self.days * DAY_MS} / {self.rows}"

    def months(self) -> list[Month]:
        """Return the months that the ids fall into."""
        found = {Month.of(self.first_ms + day * DAY_MS) for day in range(self.days + 1)}
        return sorted(found)


_CHANGES = (
    "INSERT INTO feedback_changes (tenant, day, revision{1})"
    " SELECT DISTINCT tenant, day, {0}{2} FROM feedback_days WHERE level = 0"
)


def _dice(number: int) -> str:
    """Return SQL for 16 bits that look random, another function of n for each number."""
    factors = (2654435761, 2246822519, 3266489917, 668265263, 374761393, 2869860233, 3624381081)
    return f"(((n + {number}) * {factors[number]} % 4294967296) / 65536)"


def _pick(number: int, *of: str) -> str:
    """Return SQL that picks one of the texts, or NULL for the empty one."""
    cases = "".join(f" WHEN {place} THEN '{text}'" for place, text in enumerate(of) if text)
    return f"CASE {_dice(number)} % {len(of)}{cases} END"


_KINDS = ("accept",) * 12 + ("reject",) * 4 + ("modify", "modify", "rate", "dismiss")
_SCENARIO = f"{_dice(4)} / 16 % 3"
_CONFIDENCE = f"{_dice(5)} % 1000 / 1000.0"


def _expressions(filling: Filling, stamp: str, hexadecimal: str) -> dict[str, str]:
    # Squares of even numbers: few products and users have much, many have little.
    product = f"{_dice(1)} * {_dice(1)} / 65536 * {PRODUCTS} / 65536"
    user = f"{_dice(2)} * {_dice(2)} / 65536 * {USERS} / 65536"
    action = _pick(0, *_KINDS)
    return {
        "event_id": stamp,
        "tenant": "''",
        "response_id": f"'resp_' || {hexadecimal}",
        "action": action,
        "received_at": filling.arrival,
        "payload_sha256": f"'{'0' * 52}' || {hexadecimal}",
        "score": f"CASE WHEN ({action}) = 'rate' THEN {_dice(3)} % 5 + 1 END",
        "tags": "'[]'",
        "metadata": "'{}'",
        "comment": f"CASE WHEN {_dice(3)} % 5 = 0 THEN 'The page is right, the key is not.' END",
        "user_id": f"'user-' || ({user})",
        "item_type": _pick(3, "", "", "", "citation", "suggestion", "warning", "pro_tip"),
        "product_id": f"'product-' || ({product})",
        "scenario": f"CASE {_SCENARIO} WHEN 0 THEN 'general' WHEN 1 THEN 'studio' ELSE 'live' END",
        "prompt_version": f"'answer/' || ({_SCENARIO}) || '/' || ({_dice(6)} % 2 + 1)",
        "model": _pick(6, "model-a", "model-a", "model-b", "extractive"),
        "arm": _pick(5, "", "a", "b"),
        "confidence": _CONFIDENCE,
        "weight": f"CASE WHEN {_dice(2)} % 50 = 0 THEN 0.0 ELSE 1.0 END",
        "confidence_bin": f"{_dice(5)} % 1000 / 100",
    }


def _select(filling: Filling, stamp: str, hexadecimal: str, numbers: str) -> str:
    made = _expressions(filling, stamp, hexadecimal)
    columns = ", ".join(made.get(name, "NULL") for name in FEEDBACK_COLUMNS)
    return f"INSERT INTO feedback ({', '.join(FEEDBACK_COLUMNS)}) SELECT {columns} FROM {numbers}"


def _levels() -> Iterator[tuple[int, tuple[str, ...]]]:
    yield TOGETHER, ()
    for level, name in enumerate(_LEVELLED, TOGETHER + 1):
        yield level, (name,)
    yield ALL_APART, _LEVELLED


def _sums(shard: str, key: str, integer: str) -> Iterator[str]:
    """Yield the statements that fill the daily sums from the judgements, one a level."""
    columns = ", ".join(([shard] if shard else []) + list(ROLL_UP_COLUMNS))
    day = f"received_at / {DAY_MS}"
    for level, kept in _levels():
        shown = [
            (name if name == "confidence_bin" else f"COALESCE({name}, '')")
            if name in kept
            else ("-1" if name == "confidence_bin" else "''")
            for name in _LEVELLED
        ]
        values = [str(level), day, key, "tenant", "action", *shown]
        values += ["COUNT(*)", "SUM(weight)", f"COALESCE(SUM(score), 0){integer}"]
        groups = ", ".join(["tenant", day, "action", *kept])
        yield (
            f"INSERT INTO feedback_days ({columns}) SELECT {'0, ' if shard else ''}"
            f"{', '.join(values)} FROM feedback GROUP BY {groups}"
        )


def fill_sqlite(path: Path, filling: Filling) -> None:
    """Fill an empty, migrated file."""
    at = filling.arrival
    stamp = f"printf('%08x-%04x-7000-8000-%012x', ({at}) / 65536, ({at}) % 65536, n)"
    numbers = (
        "(WITH RECURSIVE c(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM c WHERE n + 1 < ?)"
        " SELECT n FROM c)"
    )
    insert = _select(filling, stamp, "printf('%012x', n)", numbers)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A benchmark that is cut starts anew.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        for first in range(0, filling.rows, CHUNK_ROWS):
            last = min(first + CHUNK_ROWS, filling.rows)
            connection.execute(insert, (first, last))
        for statement in _sums("", "CAST(printf('%016x', MIN(rowid)) AS BLOB)", ""):
            connection.execute(statement)
        connection.execute(_CHANGES.format(1, "", ""))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def fill_postgres(url: str, filling: Filling) -> None:
    """Fill an empty, migrated database."""
    at = f"lpad(to_hex({filling.arrival}), 12, '0')"
    tail = "lpad(to_hex(n), 12, '0')"
    stamp = f"(substr({at}, 1, 8) || '-' || substr({at}, 9) || '-7000-8000-' || {tail})::uuid"
    insert = _select(filling, stamp, tail, "generate_series($1::bigint, $2::bigint - 1) AS n")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET synchronous_commit = off; SET work_mem = '256MB'")
        ids = [one.id_range[0][:14] + "7000" + one.id_range[0][18:] for one in filling.months()]
        rows = [SimpleNamespace(event_id=one) for one in ids]
        await Partitions().prepare(connection, rows, filling.now_ms)
        for first in range(0, filling.rows, CHUNK_ROWS):
            await connection.execute(insert, first, min(first + CHUNK_ROWS, filling.rows))
        key = "int8send(MIN(('x' || right(event_id::text, 12))::bit(48)::bigint)) || int8send(0)"
        for statement in _sums("shard", key, "::bigint"):
            await connection.execute(statement)
        await connection.execute(_CHANGES.format(1, ", shard", ", 0"))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
