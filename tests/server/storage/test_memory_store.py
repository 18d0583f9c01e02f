"""The store in memory, under the suites of the other stores: their tests, with another fixture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from server.storage.memory_store import MemoryStore
from server.storage.store import StoreUnavailableError

for name in ("test_store_contract", "test_store_counts"):
    spec = importlib.util.spec_from_file_location(
        f"memory_{name}", Path(__file__).parent / f"{name}.py"
    )
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    globals().update({k: v for k, v in vars(suite).items() if k.startswith("test_")})


@pytest.fixture
async def opened():
    """Opens stores over the same tables, as nodes over one database."""
    stores = []

    async def open_one(now=None):
        stores.append(MemoryStore())
        first, last = stores[0], stores[-1]
        for table in ("_feedback", "_interactions", "_letters", "_erased", "_ids"):
            setattr(last, table, getattr(first, table))
        await last.open()
        return last

    return open_one


async def test_a_closed_or_unopened_store_is_unavailable(opened):
    closed = await opened()
    await closed.aclose()
    for store in (closed, MemoryStore()):
        for call in (store.check(), store.write([]), store.dead_letters(1)):
            with pytest.raises(StoreUnavailableError):
                await call
