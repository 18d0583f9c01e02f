"""What Redis replies when it will not serve: classified, survived, and over when it is over."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
import redis

from server.storage.blobs import RedisBlobCache
from server.storage.breaker import BreakerState
from server.storage.faults import StorageError
from server.storage.leases import RedisLeases
from server.storage.popularity import RedisPopularity
from server.storage.redis_client import RedisClient
from server.storage.redis_texts import RedisTextCache
from server.storage.texts import Miss, StoredText, fingerprint

BIG = StoredText("big", "t" * 500_000, fingerprint("t" * 500_000), "T", 1.0)
SMALL = StoredText("x", "text", fingerprint("text"), "T", 1.0)


class RepliesWith:
    """A server that gives every command the same reply, until `reply` is changed."""

    def __init__(self, reply: bytes):
        self.reply = reply
        self.commands = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while line := await reader.readline():
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    await reader.readexactly(length + 2)
                self.commands += 1
                writer.write(self.reply)
                await writer.drain()
        writer.close()


async def use_everything(client: RedisClient) -> None:
    """Every port, none of which may raise."""
    texts = RedisTextCache(client)
    assert await texts.get("x") is Miss.UNREACHABLE
    assert await texts.head("x") is Miss.UNREACHABLE
    assert not await texts.put(SMALL, ttl_s=60)
    assert not await texts.touch(SMALL, ttl_s=60)
    assert await texts.present(["x"]) == frozenset()
    await texts.used(["x"])
    await texts.delete("x")
    blobs = RedisBlobCache(client)
    await blobs.put("k", b"v", ttl_s=60)
    assert await blobs.get("k") is None
    await blobs.delete("k")
    leases = RedisLeases(client)
    lease = await leases.acquire("a", ttl_s=5)
    assert lease is not None
    assert await leases.renew(lease, ttl_s=5) is not None
    await leases.release(lease)
    popularity = RedisPopularity(client, lambda: 1_790_000_000.0)
    await popularity.add({"x": 1})
    assert await popularity.top(3) == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-READONLY You can't write against a read only replica.\r\n", "read_only"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "moved"),
        (b"-ASK 3999 127.0.0.1:6381\r\n", "moved"),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "out_of_memory"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "misconfigured"),
        (b"-NOAUTH Authentication required.\r\n", "refused"),
        (b"-NOPERM this user has no permissions to run the command\r\n", "refused"),
        (b"-CLUSTERDOWN The cluster is down\r\n", "unreachable"),
        (b"-ERR something else\r\n", "reply"),
        (b"?not a reply\r\n", "reply"),
        (b"", "timeout"),
    ],
)
async def test_f61_error_replies_are_classified_and_never_raised(reply, kind):
    faults = []
    async with RepliesWith(reply) as server:
        url = f"redis://127.0.0.1:{server.port}"
        client = RedisClient(url, timeout_s=0.1, on_fault=faults.append)
        with pytest.raises(StorageError) as caught:
            await client.call("GET", "x")
        assert caught.value.kind == kind
        await use_everything(client)
        assert set(faults) <= {kind, "open"}
        await client.aclose()


async def test_f61_recovers_alone_from_loading():
    now = 0.0
    async with RepliesWith(b"-LOADING Redis is loading the dataset in memory\r\n") as server:
        client = RedisClient(f"redis://127.0.0.1:{server.port}", clock=lambda: now)
        for _ in range(20):
            with pytest.raises(StorageError):
                await client.call("GET", "x")
        assert client.breaker.state is BreakerState.OPEN
        assert server.commands == 3, "an open breaker asks nobody"
        server.reply = b"$2\r\nok\r\n"
        now = 1.0
        assert await client.call("GET", "x") == b"ok"
        assert client.breaker.state is BreakerState.CLOSED
        await client.aclose()


async def test_f61_a_full_redis_refuses_writes_and_serves_reads(redis_server):
    server = redis_server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    faults = []
    client = RedisClient(server.url, on_fault=faults.append)
    texts = RedisTextCache(client)
    assert await texts.put(SMALL, ttl_s=60)
    filled = 0
    with contextlib.suppress(redis.exceptions.OutOfMemoryError):
        for filled in range(200):
            server.run("SET", f"fill:{filled}", b"x" * 100_000)
    assert not await texts.put(BIG, ttl_s=60)
    assert set(faults) == {"out_of_memory"}
    assert await texts.get("x") == SMALL
    assert not await texts.put(replace(BIG, id="x"), ttl_s=60)
    assert await texts.get("x") is Miss.ABSENT, "no half of a new entry is left behind"
    assert client.breaker.state is BreakerState.CLOSED
    server.run("DEL", *(f"fill:{n}" for n in range(filled + 1)))
    assert await texts.put(SMALL, ttl_s=60)
    await client.aclose()


async def test_f61_a_replica_refuses_writes_and_serves_reads(redis_server):
    primary = redis_server("--repl-diskless-sync-delay", "0")
    replica = redis_server("--replicaof", "127.0.0.1", str(primary.port))
    writer = RedisClient(primary.url)
    assert await RedisTextCache(writer).put(SMALL, ttl_s=60)
    primary.run("WAIT", 1, 10_000)
    faults = []
    client = RedisClient(replica.url, on_fault=faults.append)
    texts = RedisTextCache(client)
    assert not await texts.put(SMALL, ttl_s=60)
    assert set(faults) == {"read_only"}
    assert await texts.get("x") == SMALL
    await client.aclose()
    await writer.aclose()
