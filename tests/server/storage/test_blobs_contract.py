"""What every blob cache promises, run over the twin, a real Redis, and both in layers."""

from __future__ import annotations

import pytest
import redis
from redis_servers import PATIENT_S

from server.storage.blobs import (
    MAX_BLOB_BYTES,
    LayeredBlobCache,
    MemoryBlobCache,
    RedisBlobCache,
)
from server.storage.redis_client import RedisClient


@pytest.fixture(params=["memory", "redis", "layers"])
async def blobs(request):
    near = MemoryBlobCache(8 * 2**20, lambda: 0.0)
    if request.param == "memory":
        yield near
        return
    client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S)
    far = RedisBlobCache(client)
    yield far if request.param == "redis" else LayeredBlobCache(near, far)
    await client.aclose()


async def test_returns_what_was_put(blobs):
    await blobs.put("k", b"\x00value\xff", ttl_s=60)
    assert await blobs.get("k") == b"\x00value\xff"
    assert await blobs.get("other") is None


async def test_keeps_an_empty_value(blobs):
    await blobs.put("k", b"", ttl_s=60)
    assert await blobs.get("k") == b""


async def test_overwrites_and_deletes(blobs):
    await blobs.put("k", b"1", ttl_s=60)
    await blobs.put("k", b"2", ttl_s=60)
    assert await blobs.get("k") == b"2"
    await blobs.delete("k")
    assert await blobs.get("k") is None


async def test_keeps_the_largest_and_nothing_larger(blobs):
    await blobs.put("k", b"x" * MAX_BLOB_BYTES, ttl_s=60)
    assert await blobs.get("k") == b"x" * MAX_BLOB_BYTES
    await blobs.put("larger", b"x" * (MAX_BLOB_BYTES + 1), ttl_s=60)
    assert await blobs.get("larger") is None


async def test_any_key_is_only_a_key(blobs):
    keys = ["*", "a b", "x\r\nDEL k\r\n", "é", "", "k" * 10_000]
    for key in keys:
        await blobs.put(key, key.encode(), ttl_s=60)
    assert [await blobs.get(key) for key in keys] == [key.encode() for key in keys]


async def test_memory_expires_and_is_bounded():
    now = 0.0
    blobs = MemoryBlobCache(4096, lambda: now)
    await blobs.put("old", b"x" * 1000, ttl_s=10)
    await blobs.put("a", b"x" * 1000, ttl_s=100)
    await blobs.get("old")
    await blobs.put("b", b"x" * 1000, ttl_s=100)
    await blobs.put("c", b"x" * 1000, ttl_s=100)
    assert await blobs.get("a") is None, "the least recently used leaves"
    assert await blobs.get("old") is not None
    now = 10.0
    assert await blobs.get("old") is None
    await blobs.put("huge", b"x" * 4000, ttl_s=10)
    assert await blobs.get("huge") is None


async def test_layers_read_the_far_one_once(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    now = 0.0
    near = MemoryBlobCache(2**20, lambda: now)
    await RedisBlobCache(client).put("k", b"v", ttl_s=600)
    layers = LayeredBlobCache(near, RedisBlobCache(client))
    assert await layers.get("k") == b"v"
    assert await near.get("k") == b"v"
    now = 61.0
    assert await near.get("k") is None, "the near copy does not outlive a minute"
    await client.aclose()


@pytest.mark.parametrize(
    "planted",
    [b"", b"mb1", b"mb1\0\0\0\0value", b"mb0\0\0\0\0", b"x" * (MAX_BLOB_BYTES + 100), b"\xff" * 9],
)
async def test_f60_a_damaged_answer_is_a_miss_and_overwritten(redis_url, planted):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    blobs = RedisBlobCache(client)
    await blobs.put("k", b"v", ttl_s=60)
    with redis.Redis.from_url(redis_url) as plain:
        [name] = plain.scan_iter("answer:*")
        plain.set(name, planted)
        assert await blobs.get("k") is None
        plain.delete(name)
        plain.lpush(name, "a list")
        assert await blobs.get("k") is None
    await blobs.put("k", b"v", ttl_s=60)
    assert await blobs.get("k") == b"v"
    await client.aclose()
