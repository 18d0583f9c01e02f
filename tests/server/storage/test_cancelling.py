"""A cancellation ends a task, whatever a client library makes of it."""

import asyncio

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from server.storage import cancelling
from server.storage.faults import StorageError
from server.storage.postgres_errors import translating
from server.storage.redis_client import RedisClient
from server.storage.store import StoreUnavailableError


class Swallowing:
    """A connection that turns a cancellation into an error of its own."""

    def __init__(self, error):
        self.error = error
        self.entered = asyncio.Event()

    async def call(self, *command):
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise self.error from None

    async def aclose(self):
        """Nothing to close."""


async def cancelled_in(work, entered):
    task = asyncio.create_task(work)
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def test_a_swallowed_cancellation_still_ends_a_call_to_redis():
    client = RedisClient("redis://127.0.0.1:9/0")
    wire = Swallowing(RedisConnectionError("lost"))
    client._client.execute_command = wire.call
    assert await cancelled_in(client.call("GET", "x"), wire.entered)
    await client.aclose()


async def test_a_swallowed_cancellation_still_ends_a_statement():
    wire = Swallowing(asyncpg.InterfaceError("lost"))

    async def statement():
        async with translating():
            await wire.call()

    assert await cancelled_in(statement(), wire.entered)


async def test_an_error_without_a_cancellation_is_an_error():
    client = RedisClient("redis://127.0.0.1:9/0")
    with pytest.raises(StorageError):
        await client.call("GET", "x")
    await client.aclose()
    with pytest.raises(StoreUnavailableError):
        async with translating():
            raise asyncpg.InterfaceError("lost")


async def test_a_deadline_around_a_call_stays_a_deadline():
    wire = Swallowing(RedisConnectionError("lost"))
    client = RedisClient("redis://127.0.0.1:9/0", timeout_s=20)
    client._client.execute_command = wire.call
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await client.call("GET", "x")
    await client.aclose()


async def test_a_task_that_swallows_cancellations_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(cancelling, "AGAIN_S", 0.01)
    swallowed = []

    async def stubborn():
        while len(swallowed) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(1)

    async def failing():
        raise RuntimeError("its own")

    tasks = [asyncio.create_task(work) for work in (stubborn(), failing(), asyncio.sleep(60))]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancelling.end_tasks(*tasks)
    assert len(swallowed) == 3
    assert all(task.done() for task in tasks)
