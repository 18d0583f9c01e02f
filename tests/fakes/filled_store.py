"""A SQLite store with rows in it, where the command line looks by default."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from judgements import DAY_MS, interaction, judgement, uuid7

from server.storage.records import AnyRow
from server.storage.sqlite_store import SqliteStore

MONDAY_MS = 1_741_564_800_000
"""2025-03-10 00:00 UTC: rows of a fixed past, which no clock of a test machine is before."""


def store_file(folder: Path) -> Path:
    """The store of a command that is run in `folder`."""
    return folder / "data" / "manicule.db"


async def fill(
    folder: Path, rows: Iterable[AnyRow] = (), letters: Sequence[tuple[bytes, str, int]] = ()
) -> None:
    """Write rows, and dead letters of original, reason and time of arrival."""
    store = SqliteStore(store_file(folder))
    await store.open()
    try:
        written = await store.write(list(rows))
        assert set(written) <= {"inserted"}
        for letter in letters:
            await store.put_dead_letter(*letter)
    finally:
        await store.aclose()


def judged(number: int, action: str, *, day: int = 0, **fields: object) -> list[AnyRow]:
    """A question with its answer, and a judgement of that answer, `day` days after the Monday."""
    at = MONDAY_MS + day * DAY_MS + number
    question = fields.pop("question", f"How is part {number} cleaned?")
    answer = fields.pop("answer", f"Wipe part {number}.")
    shared = {"response_id": f"r{number}", "product_id": "od-12", "user_id": "u1", **fields}
    final_text = f"Wipe part {number} with a cloth." if action == "modify" else None
    score = 4 if action == "rate" else None
    return [
        interaction(started_at=at, question=question, answer=answer, **shared),
        judgement(
            event_id=uuid7(at, number), received_at=at, action=action, final_text=final_text,
            score=score, **shared,
        ),
    ]  # fmt: skip


def now_ms() -> int:
    return int(time.time() * 1000)
