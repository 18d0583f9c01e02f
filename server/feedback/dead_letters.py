"""What the store refused, for a person to look at: list, show, send again, remove.

Functions over the store's port; the command line prints what they return.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from server.storage.letters import tenant_of
from server.storage.records import AnyRow, DeadLetter, decode_row
from server.storage.store import RowRefusedError, Store

PAGE = 500
"""Letters read at once."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of the letters that were sent again: stored ones left, the others stay."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    conflicts: int = 0
    unreadable: int = 0


async def list_letters(
    store: Store, *, limit: int, after: int = 0, tenant: str | None = None
) -> list[DeadLetter]:
    """Return at most `limit` letters with ids beyond `after`, oldest first.

    With a `tenant` only letters that name it, as `tenant_of` reads them.
    """
    if tenant is None:
        return await store.dead_letters(limit, after)
    found: list[DeadLetter] = []
    while len(found) < limit and (page := await store.dead_letters(PAGE, after)):
        found += [letter for letter in page if tenant_of(letter.original) == tenant]
        after = page[-1].id
    return found[:limit]


async def show(store: Store, letter_id: int) -> DeadLetter | None:
    """Return one letter, or None."""
    found = await store.dead_letters(1, letter_id - 1)
    return found[0] if found and found[0].id == letter_id else None


def readable(letter: DeadLetter) -> str:
    """Return the original for a terminal: indented JSON, or its bytes escaped; never a control."""
    try:
        value = json.loads(letter.original)
    except ValueError:
        return ascii(letter.original)
    return json.dumps(value, indent=2, ensure_ascii=True)


async def replay(store: Store, ids: Sequence[int] | None = None) -> Replay:
    """Write letters again, each by itself; None means all. What is stored leaves the letters.

    A letter that is refused again stays as it was, so that replaying loses nothing and may be
    repeated. Raises `StoreUnavailableError`; letters sent until then are done.
    """
    counts = dict.fromkeys(("stored", "duplicates", "refused", "conflicts", "unreadable"), 0)
    async for letter in _chosen(store, ids):
        outcome = await _send(store, letter)
        counts[outcome] += 1
        if outcome in ("stored", "duplicates"):
            await store.drop_dead_letters([letter.id])
    return Replay(**counts)


async def purge(store: Store, ids: Sequence[int] | None = None, *, before_ms: int = 0) -> int:
    """Remove letters for good: those named, else all received before `before_ms`; count them."""
    if ids is not None:
        return await store.drop_dead_letters(ids)
    doomed = [one.id async for one in _chosen(store, None) if one.received_at < before_ms]
    return await store.drop_dead_letters(doomed) if doomed else 0


async def _send(store: Store, letter: DeadLetter) -> str:
    try:
        row: AnyRow = decode_row(letter.original)
        [written] = await store.write([row])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "unreadable"
    except RowRefusedError:
        return "refused"
    return {"inserted": "stored", "duplicate": "duplicates", "conflict": "conflicts"}[written]


async def _chosen(store: Store, ids: Sequence[int] | None) -> AsyncIterator[DeadLetter]:
    """Yield the letters with these ids, or all that are there now."""
    if ids is not None:
        for one in ids:
            if (letter := await show(store, one)) is not None:
                yield letter
        return
    after = 0
    while page := await store.dead_letters(PAGE, after):
        for letter in page:
            yield letter
        after = page[-1].id
