"""What both text caches promise, run over the twin and over a real Redis."""

from __future__ import annotations

import pytest
from redis_servers import PATIENT_S

from server.storage.redis_client import RedisClient
from server.storage.redis_texts import RedisTextCache
from server.storage.texts import MemoryTextCache, Miss, StoredHead, StoredText, fingerprint


def stored(manual_id: str = "td-17", text: str = "one\ftwo é ☞", **changes) -> StoredText:
    outline = changes.pop("outline_json", '[{"title":"Start","page":1,"level":0}]')
    values = {
        "id": manual_id,
        "text": text,
        "sha256": fingerprint(text),
        "title": "TD-17 é",
        "fetched_at": 1_790_000_000.25,
        "etag": '"abc"',
        "outline_json": outline,
        "source_key": "key-1",
    }
    return StoredText(**(values | changes))


@pytest.fixture(params=["memory", "redis"])
async def texts(request):
    if request.param == "memory":
        yield MemoryTextCache(10_000_000, lambda: 0.0)
        return
    client = RedisClient(request.getfixturevalue("redis_url"), timeout_s=PATIENT_S)
    yield RedisTextCache(client)
    await client.aclose()


async def test_returns_what_was_put(texts):
    assert await texts.put(stored(), ttl_s=60)
    assert await texts.get("td-17") == stored()


async def test_misses_what_was_never_put(texts):
    assert await texts.get("other") is Miss.ABSENT
    assert await texts.head("other") is Miss.ABSENT


async def test_head_tells_without_the_text(texts):
    await texts.put(stored(), ttl_s=60)
    one = stored()
    expected = StoredHead(one.sha256, one.fetched_at, one.etag, one.source_key)
    assert await texts.head("td-17") == expected


async def test_the_last_put_wins(texts):
    await texts.put(stored(), ttl_s=60)
    newer = stored(text="three\ffour", fetched_at=1_790_000_001.0)
    await texts.put(newer, ttl_s=60)
    assert await texts.get("td-17") == newer


async def test_touch_changes_all_but_the_text(texts):
    await texts.put(stored(), ttl_s=60)
    later = stored(fetched_at=1_790_009_999.5, etag='"new"')
    assert await texts.touch(later, ttl_s=60)
    assert await texts.get("td-17") == later


async def test_touch_of_nothing_says_so(texts):
    assert not await texts.touch(stored(), ttl_s=60)
    assert isinstance(await texts.get("td-17"), Miss)


async def test_forgets_what_was_deleted(texts):
    await texts.put(stored(), ttl_s=60)
    await texts.delete("td-17")
    assert await texts.get("td-17") is Miss.ABSENT


async def test_tells_which_are_present(texts):
    await texts.put(stored("a"), ttl_s=60)
    await texts.put(stored("b"), ttl_s=60)
    assert await texts.present(["a", "b", "c"]) == {"a", "b"}
    assert await texts.present([]) == frozenset()


async def test_accepts_news_of_use(texts):
    await texts.put(stored("a"), ttl_s=60)
    await texts.used(["a", "never-put"])
    await texts.used([])
    assert await texts.get("a") == stored("a")


@pytest.mark.parametrize("manual_id", ["a b", "x\r\nFLUSHALL\r\n", "*", "{a}", "é☞", "a:b", ""])
async def test_any_id_is_only_an_id(texts, manual_id):
    await texts.put(stored("*" if manual_id != "*" else "x"), ttl_s=60)
    await texts.put(stored(manual_id), ttl_s=60)
    assert await texts.get(manual_id) == stored(manual_id)
    await texts.delete(manual_id)
    assert await texts.get("*" if manual_id != "*" else "x") is not Miss.ABSENT


@pytest.mark.parametrize("outline", ["", "[]"])
async def test_a_text_without_outline_or_title_is_whole(texts, outline):
    bare = stored(outline_json=outline, title="", etag="", source_key="")
    await texts.put(bare, ttl_s=60)
    assert await texts.get("td-17") == bare


async def test_a_long_text_returns_whole(texts):
    long = stored(text="\f".join(f"page {n} " + "word " * 200 for n in range(1500)))
    await texts.put(long, ttl_s=60)
    assert await texts.get("td-17") == long


async def test_memory_expires_by_its_clock():
    now = 100.0
    texts = MemoryTextCache(10_000_000, lambda: now)
    await texts.put(stored(), ttl_s=60)
    now = 159.0
    assert await texts.get("td-17") == stored()
    now = 160.0
    assert await texts.get("td-17") is Miss.ABSENT
    assert await texts.present(["td-17"]) == frozenset()


async def test_memory_is_bounded_and_drops_the_least_recently_used():
    texts = MemoryTextCache(10_000, lambda: 0.0)
    for name in "abc":
        await texts.put(stored(name, "x" * 1000), ttl_s=60)
    await texts.get("a")
    await texts.put(stored("d", "x" * 1000), ttl_s=60)
    assert await texts.present(["a", "b", "c", "d"]) == {"a", "c", "d"}
    assert not await texts.put(stored("e", "x" * 10_000), ttl_s=60)


async def test_fingerprint_of_a_plain_text_is_its_sha256():
    # printf 'abc' | sha256sum
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint("abc") == expected
