"""One deadline bounds a call to Redis, and what it cuts off leaves nothing to the next call."""

import asyncio
import itertools

import pytest

from server.storage.faults import StorageError
from server.storage.redis_client import RedisClient

PAUSE_MS = 500


@pytest.fixture
async def client(redis_server):
    url = redis_server().url  # its own: no other test is paused
    hours = itertools.count(step=3600)  # the breaker has always cooled
    one = RedisClient(url, timeout_s=0.2, max_connections=1, clock=lambda: next(hours))
    yield one
    await one.aclose()


async def pause(client):
    """Let the server say nothing for a while, to a connection that is open."""
    await client.call("CLIENT", "PAUSE", PAUSE_MS, "ALL")


async def echoed(client, text):
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.call("ECHO", text)
            except StorageError:
                await asyncio.sleep(0.05)


async def test_a_pipeline_that_ran_out_of_time_leaves_no_reply_behind(client):
    await pause(client)
    with pytest.raises(StorageError) as caught:
        await client.pipeline([("ECHO", f"old {n}") for n in range(3)])
    assert caught.value.kind == "timeout"
    assert await echoed(client, "new") == b"new"


async def test_a_call_that_was_cancelled_leaves_no_reply_behind(client):
    await pause(client)
    cut = asyncio.create_task(client.call("ECHO", "old"))
    await asyncio.sleep(0.05)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    assert await echoed(client, "new") == b"new"
