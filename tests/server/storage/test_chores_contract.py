"""What every store promises of chores: one at a time, once in a while, whoever asks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, NOW_MS, NOW_S

from server.storage.memory_store import MemoryStore
from server.storage.opening import open_store

LEASE_MS = 60_000


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def nodes(request, tmp_path):
    """Two nodes on one store."""
    if request.param == "memory":
        stores = [MemoryStore()] * 2
    else:
        url = f"sqlite:///{tmp_path}/manicule.db"
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
        stores = [open_store(url, now=lambda: NOW_S) for _ in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.aclose()


async def claim(store, token, now=NOW_MS, name="tidy"):
    until = now + LEASE_MS
    return await store.chores.claim(name, token, now=now, until=until, every_ms=DAY_MS)


async def test_one_node_has_it_until_its_lease_ends(nodes):
    one, other = nodes
    assert await claim(one, "a")
    assert not await claim(other, "b")
    assert not await claim(other, "b", NOW_MS + LEASE_MS - 1)
    assert await claim(other, "b", name="another")
    assert await one.chores.renew("tidy", "a", until=NOW_MS + 2 * LEASE_MS)
    assert not await claim(other, "b", NOW_MS + LEASE_MS)
    assert await claim(other, "b", NOW_MS + 2 * LEASE_MS)
    assert not await one.chores.renew("tidy", "a", until=NOW_MS + DAY_MS)


async def test_what_was_done_is_due_again_after_its_time(nodes):
    one, other = nodes
    assert await claim(one, "a")
    await one.chores.release("tidy", "a", done_at=NOW_MS)
    assert not await claim(other, "b", NOW_MS + DAY_MS - 1)
    assert await claim(other, "b", NOW_MS + DAY_MS)


async def test_what_was_not_done_is_due_at_once(nodes):
    one, other = nodes
    assert await claim(one, "a")
    await one.chores.release("tidy", "a", done_at=NOW_MS)
    assert await claim(one, "a", NOW_MS + DAY_MS)
    await one.chores.release("tidy", "a", done_at=None)
    assert await claim(other, "b", NOW_MS + DAY_MS)


async def test_who_lost_it_gives_nothing_back(nodes):
    one, other = nodes
    assert await claim(one, "a")
    assert await claim(other, "b", NOW_MS + LEASE_MS)
    await one.chores.release("tidy", "a", done_at=NOW_MS + 10 * DAY_MS)
    assert not await claim(one, "a", NOW_MS + LEASE_MS)
    await other.chores.release("tidy", "b", done_at=NOW_MS)
    assert await claim(one, "a", NOW_MS + DAY_MS)


async def test_of_many_at_once_one_gets_it(nodes):
    got = await asyncio.gather(*(claim(nodes[n % 2], str(n)) for n in range(20)))
    assert sum(got) == 1
