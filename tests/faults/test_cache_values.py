"""Values in Redis that we did not write, or not whole: each is a miss and is overwritten."""

from __future__ import annotations

import resource

import pytest
import redis
from redis_servers import PATIENT_S

from server.storage.redis_client import RedisClient
from server.storage.redis_texts import MAX_TEXT_BYTES, RedisTextCache
from server.storage.texts import Miss, StoredText, fingerprint

TEXT = "page one\fpage two"


def stored(text: str = TEXT) -> StoredText:
    return StoredText("x", text, fingerprint(text), "Title", 1_790_000_000.0)


@pytest.fixture
def plain(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def texts(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    cache = RedisTextCache(client)
    await cache.put(stored(), ttl_s=600)
    yield cache
    await client.aclose()


def damage_text(plain):
    plain.set("doc_text:x", TEXT.replace("one", "0ne"))


def truncate_text(plain):
    plain.set("doc_text:x", TEXT[:-1])


def break_utf8(plain):
    plain.set("doc_text:x", b"\xff\xfe" + TEXT.encode())


def list_at_text(plain):
    plain.delete("doc_text:x")
    plain.rpush("doc_text:x", "not", "a", "string")


def string_at_meta(plain):
    plain.set("doc_meta:x", "not a hash")


def drop_meta(plain):
    plain.delete("doc_meta:x")


def other_version(plain):
    plain.hset("doc_meta:x", "version", "999")


def drop_field(plain):
    plain.hdel("doc_meta:x", "fetched_at")


def odd_time(plain):
    plain.hset("doc_meta:x", "fetched_at", "yesterday")


def broken_utf8_title(plain):
    plain.hset("doc_meta:x", "title", b"\xff\xff")


def other_sha(plain):
    plain.hset("doc_meta:x", "sha256", "0" * 64)


DAMAGES = [
    damage_text,
    truncate_text,
    break_utf8,
    list_at_text,
    string_at_meta,
    drop_meta,
    other_version,
    drop_field,
    odd_time,
    broken_utf8_title,
    other_sha,
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_f60_a_damaged_value_is_a_miss_and_overwritten(texts, plain, damage):
    damage(plain)
    assert await texts.get("x") is Miss.CORRUPT
    assert await texts.put(stored(), ttl_s=600)
    assert await texts.get("x") == stored()
    assert plain.type("doc_text:x") == b"string"
    assert plain.type("doc_meta:x") == b"hash"


async def test_f60_a_text_is_never_paired_with_the_hash_of_another(texts, plain):
    newer = stored("other text")
    await texts.put(newer, ttl_s=600)
    plain.set("doc_text:x", TEXT)
    assert await texts.get("x") is Miss.CORRUPT


async def test_f60_what_people_read_is_plain_text(texts, plain):
    assert plain.get("doc_text:x") == TEXT.encode()
    meta = plain.hgetall("doc_meta:x")
    assert meta[b"pages"] == b"2"
    assert meta[b"title"] == b"Title"
    assert meta[b"sha256"].decode() == fingerprint(TEXT)
    assert 0 < plain.ttl("doc_text:x") <= 600
    assert 0 < plain.ttl("doc_meta:x") <= 600


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_f62_a_value_of_200_mb_is_not_read(texts, plain):
    plain.setrange("doc_text:x", 200 * 2**20, b"!")
    before = peak_bytes()
    assert await texts.get("x") is Miss.OVERSIZE
    assert await texts.head("x") is Miss.OVERSIZE
    assert peak_bytes() - before <= 8 * 2**20
    assert await texts.put(stored(), ttl_s=600)
    assert await texts.get("x") == stored()


async def test_f62_a_huge_field_of_the_hash_is_not_read(texts, plain):
    plain.hset("doc_meta:x", "outline", b"x" * (40 * 2**20))
    before = peak_bytes()
    assert await texts.get("x") is Miss.OVERSIZE
    assert peak_bytes() - before <= 8 * 2**20


async def test_f62_a_text_over_the_limit_is_not_written(texts, plain):
    assert not await texts.put(stored("x" * (MAX_TEXT_BYTES + 1)), ttl_s=600)
    assert plain.get("doc_text:x") == TEXT.encode()
