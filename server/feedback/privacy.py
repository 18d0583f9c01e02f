"""One person's data, removed from everywhere it is kept, with a report that names nobody."""

from __future__ import annotations

import asyncio
import gzip
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from server.feedback.audit import Audit
from server.feedback.drainer import Drainer
from server.feedback.retention import PATTERN, bring_to_disk
from server.storage.journal import Journal
from server.storage.letters import is_about
from server.storage.response_log import ResponseLog
from server.storage.store import Filter, Store

JOURNAL_WAIT_S = 30.0
"""How long the journal may take to empty: a node that died is waited for 5 s before."""

LOGGED_MS = 48 * 3_600_000
"""How old a question can be whose answer is in the log: a day after its end, at most."""

POLL_S = 0.1
MANIFEST = "manifest.json"
TOMBSTONES = "erasures.jsonl"


class ErasureError(Exception):
    """Not all could be reached; what was has been erased. Do it again when that is mended."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed. `id` is random and stands in the audit log and in tombstones too.

    `store` counts rows by table, `journal` entries that were moved to the store first, `archived`
    lines taken out of archives, `datasets` exports that got a tombstone, `answers` those that were
    kept for who resumes them.
    """

    id: str
    store: dict[str, int]
    journal: int = 0
    archived: int = 0
    datasets: int = 0
    answers: int = 0

    @property
    def found(self) -> bool:
        """Whether anything was kept about the person."""
        return any(self.store.values()) or self.archived > 0 or self.answers > 0


async def erase_user(
    store: Store,
    user_id: str,
    tenant: str = "",
    *,
    now: int,
    journal: Journal | None = None,
    archive_dir: Path | None = None,
    datasets: Sequence[Path] = (),
    log: ResponseLog | None = None,
    audit: Audit | None = None,
    journal_wait_s: float = JOURNAL_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Erasure:
    """Remove everything that is kept about one person; `now` is Unix milliseconds.

    The journal is emptied into the store first. What was received before and is on its way
    elsewhere (in a writer's memory, an answer that runs) does not get into the store when it comes.
    Exports in the folders `datasets` that were made from the person's judgements get a line in
    `erasures.jsonl`: make them anew. Answers that have ended are removed from the `log` too. Sums
    by day name nobody and stay. Raises `ErasureError` when the journal does not empty,
    `JournalError`, `LogError`, `StoreUnavailableError` and `OSError`: repeat it then.
    """
    began = clock()
    moved = 0
    if journal is not None:
        moved = await _empty(journal, store, clock() + journal_wait_s, clock)
    answers = 0
    if log is not None:  # before the store forgets which answers they are
        answers = await log.erase(await store.asked(user_id, tenant, since=now - LOGGED_MS))
    mine = [
        judged.feedback.event_id
        async for judged in store.judged(Filter(tenant=tenant, user_id=user_id))
    ]
    erased = await store.erase_user(user_id, tenant, now=now + int(1000 * (clock() - began)))
    archived = 0
    if archive_dir is not None:
        archived = await asyncio.to_thread(_erase_archives, archive_dir, user_id, tenant)
    erasure_id = f"erasure_{secrets.token_hex(8)}"
    marked = [
        folder
        for folder in datasets
        if await asyncio.to_thread(_mark, folder, erasure_id, now, mine)
    ]
    report = Erasure(
        id=erasure_id,
        store=erased,
        journal=moved,
        archived=archived,
        datasets=len(marked),
        answers=answers,
    )
    if audit is not None:
        await asyncio.to_thread(_note, audit, report, tenant)
    return report


def _note(audit: Audit, report: Erasure, tenant: str) -> None:
    audit.note(
        "erase",
        tenant=tenant,
        erasure=report.id,
        feedback=report.store.get("feedback", 0),
        interactions=report.store.get("interactions", 0),
        dead_letters=report.store.get("dead_letters", 0),
        archived=report.archived,
        datasets=report.datasets,
        answers=report.answers,
    )


async def _empty(
    journal: Journal, store: Store, deadline: float, clock: Callable[[], float]
) -> int:
    """Move all entries to the store, waiting for those that live nodes are moving."""
    drainer = Drainer(store, journal, consumer=f"erasure-{secrets.token_hex(8)}")
    moved = 0
    while await journal.size():
        moved += (count := await drainer.step())
        if not count:
            if clock() > deadline:
                raise ErasureError("the journal does not empty; is the store away for its nodes?")
            await asyncio.sleep(POLL_S)
    return moved


def _erase_archives(folder: Path, user_id: str, tenant: str) -> int:
    return sum(_erase_archive(path, user_id, tenant) for path in sorted(folder.glob(PATTERN)))


def _erase_archive(path: Path, user_id: str, tenant: str) -> int:
    """Write the archive anew without the person's lines, if there are any; return how many."""
    with gzip.open(path, "rb") as lines:
        if not any(is_about(line, user_id, tenant) for line in lines):
            return 0
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    removed = 0
    try:
        with gzip.open(path, "rb") as lines, gzip.GzipFile(hidden, "wb", mtime=0) as kept:
            hidden.chmod(0o600)
            for line in lines:
                if is_about(line, user_id, tenant):
                    removed += 1
                else:
                    kept.write(line)
        bring_to_disk(hidden)
        hidden.replace(path)
        bring_to_disk(path.parent)
    finally:
        hidden.unlink(missing_ok=True)
    return removed


class _Lineage(msgspec.Struct):
    first_event_id: str | None
    last_event_id: str | None


class _Manifest(msgspec.Struct):
    lineage: _Lineage


def _mark(folder: Path, erasure_id: str, now: int, event_ids: Sequence[str]) -> bool:
    """Put a tombstone beside the manifest of an export that may hold some of these judgements."""
    lineage = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest).lineage
    first, last = lineage.first_event_id or "~", lineage.last_event_id or ""
    count = sum(first <= event_id <= last for event_id in event_ids)
    if not count:
        return False
    line = msgspec.json.encode({"erasure": erasure_id, "time": now, "judgements": count})
    with (folder / TOMBSTONES).open("ab") as file:
        file.write(line + b"\n")
    bring_to_disk(folder / TOMBSTONES)
    return True
