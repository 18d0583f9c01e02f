import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import NOW_S

from server.storage.opening import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """URL of an empty store of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/manicule.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def opened(store_url):
    """Opens stores on `store_url`: each call another instance, as another node has."""
    stores = []

    async def open_one(now=lambda: NOW_S):
        store = open_store(store_url, now=now)
        stores.append(store)
        await store.open()
        return store

    yield open_one
    for store in stores:
        await store.aclose()


@pytest.fixture
async def store(opened):
    return await opened()
