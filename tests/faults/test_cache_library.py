"""The library while its shared cache fails, and several processes at one manual."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import redis

from server.manuals.documents import Extracted, ManualError, ManualSource
from server.manuals.library import Library
from server.manuals.sources import Loaded, Unchanged, source_key
from server.storage.caches import open_caches
from server.storage.texts import Miss, StoredText, fingerprint

PROCESS = Path(__file__).parent / "library_process.py"
URL = ManualSource(url="https://vendor.example/manual.pdf")


async def until(check, bound_s: float = 20.0):
    deadline = time.monotonic() + bound_s
    while not check():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.005)


async def until_true(ask, bound_s: float = 20.0):
    deadline = time.monotonic() + bound_s
    while not await ask():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.005)


async def reachable(one) -> bool:
    return await one.caches.texts.head("x") is not Miss.UNREACHABLE


async def has_text(one, text: str) -> bool:
    return (await one.get()).prepared.manual.text == text


class Index:
    size_bytes = 1000

    def __init__(self, manual):
        pass


class Source:
    def __init__(self):
        self.text = "one\ftwo"
        self.etag = "v1"
        self.loads = 0
        self.error = None

    async def load(self, source, etag, on_progress):
        self.loads += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        if etag == self.etag:
            return Unchanged()
        return Loaded(Extracted(tuple(self.text.split("\f"))), self.etag)


class Node:
    """One process's library, and what it needs."""

    def __init__(self, url: str, source: Source, **options):
        self.now = 1_790_000_000.0
        self.source = source
        self.events: list[str] = []
        self.faults: list[str] = []
        self.caches = open_caches(
            url,
            text_bytes=10**7,
            answer_bytes=10**6,
            now=lambda: self.now,
            clock=lambda: self.now,
            on_fault=self.faults.append,
        )
        self.library = Library(
            loader=source,
            build_index=Index,
            caches=self.caches,
            max_bytes=10**7,
            ttl_s=3600,
            stale_s=7200,
            now=lambda: self.now,
            clock=lambda: self.now,
            on_event=self.events.append,
            **options,
        )

    async def get(self, manual_id: str = "x"):
        return await self.library.get(manual_id, URL, lambda progress: None)

    @property
    def live(self) -> bool:
        return self.caches.invalidations.live


@contextlib.asynccontextmanager
async def node(url: str, source: Source | None = None, *, live: bool = True, **options):
    made = Node(url, source or Source(), **options)
    await made.caches.start()
    try:
        if live:
            await until(lambda: made.live)
        yield made
    finally:
        await made.library.aclose()
        await made.caches.aclose()


async def test_f55_a_cache_that_was_never_there_costs_only_the_sharing(free_port):
    async with node(f"redis://127.0.0.1:{free_port}", live=False) as one:
        views = await asyncio.gather(*(one.get() for _ in range(200)))
        assert {view.status for view in views} == {"fetched"}
        assert (await one.get()).status == "memory"
        assert one.source.loads == 1
        assert "cache_not_written" in one.events


async def test_f55_a_cache_that_goes_away_and_returns(redis_server):
    server = redis_server()
    async with node(server.url) as one:
        assert (await one.get("a")).status == "fetched"
        server.stop()
        await until(lambda: not one.live)
        views = await asyncio.gather(*(one.get("a") for _ in range(100)))
        assert {view.status for view in views} == {"memory"}, "held manuals stay in use"
        assert (await one.get("b")).status == "fetched"
        assert one.source.loads == 2
        server.start()
        await until(lambda: one.live)
        await until_true(lambda: reachable(one))
        assert (await one.get("c")).status == "fetched"
        assert server.run("GET", "doc_text:c") == b"one\ftwo", "written again without a restart"
        assert (await one.get("b")).status == "memory", "never shared, so not missing there"
        assert one.source.loads == 3


async def test_f55_connections_and_tasks_do_not_pile_up(redis_server):
    server = redis_server()
    async with node(server.url) as one:
        await one.get("a")
        tasks = len(asyncio.all_tasks())
        for _ in range(3):
            server.stop()
            await until(lambda: not one.live)
            for n in range(20):
                await one.get(f"m{n}")
            server.start()
            await until(lambda: one.live)
        for n in range(20):
            await one.get(f"m{n}")
        assert len(asyncio.all_tasks()) <= tasks + 1
        clients = server.run("CLIENT", "LIST", raw=True).splitlines()
        assert len(clients) <= 32 + 2


async def start_process(url: str, asks: int, takes_s: float):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROCESS),
        url,
        str(asks),
        str(takes_s),
        stdout=asyncio.subprocess.PIPE,
    )


async def outcome(process) -> dict:
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


async def test_f56_two_processes_load_a_cold_manual_once(redis_url):
    processes = [await start_process(redis_url, 500, 0.5) for _ in range(2)]
    ended = await asyncio.gather(*(outcome(process) for process in processes))
    assert sum(one["loads"] for one in ended) == 1
    assert sum(sum(one["statuses"].values()) for one in ended) == 1000
    assert {status for one in ended for status in one["statuses"]} <= {"fetched", "cache"}
    assert all(one["texts"] == ["one\ftwo"] for one in ended)
    with redis.Redis.from_url(redis_url) as plain:
        assert plain.get("loads") == b"1"
        assert list(plain.scan_iter("lease:*")) == []


async def test_f57_when_the_owner_dies_one_other_takes_over(redis_url):
    owner = await start_process(redis_url, 10, 60)
    assert await owner.stdout.readline() == b"loading\n"
    heirs = [await start_process(redis_url, 100, 0.1) for _ in range(2)]
    owner.kill()
    await owner.wait()
    owner._transport.close()
    ended = await asyncio.gather(*(outcome(process) for process in heirs))
    assert sum(one["loads"] for one in ended) == 1
    assert {status for one in ended for status in one["statuses"]} <= {"fetched", "cache"}


async def test_f56_who_waits_too_long_for_another_is_told(redis_url):
    async with node(redis_url, wait_s=0.2) as one:
        with redis.Redis.from_url(redis_url) as plain:
            plain.set("lease:manual:x", "somebody", px=60_000)
        view = await one.get()
        assert (view.status, view.problem) == ("unavailable", "timeout")
        with redis.Redis.from_url(redis_url) as plain:
            plain.delete("lease:manual:x")
        assert (await one.get()).status == "fetched", "waiting in vain is not remembered"


async def test_f58_of_a_fleet_one_refreshes(redis_url):
    source = Source()
    async with node(redis_url, source) as one, node(redis_url, source) as two:
        await one.get()
        await two.get()
        assert source.loads == 1
        one.now = two.now = one.now + 3601
        views = await asyncio.gather(*(each.get() for each in (one, two) for _ in range(100)))
        assert {view.status for view in views} == {"stale"}
        await until(lambda: source.loads == 2)

        async def all_fresh():
            views = [await one.get(), await two.get()]
            return all(view.status == "memory" and view.age_s == 0 for view in views)

        await until_true(all_fresh)
        assert source.loads == 2


async def test_f60_a_damaged_text_is_loaded_anew_and_overwritten(redis_url):
    async with node(redis_url) as one:
        await one.get()
        with redis.Redis.from_url(redis_url) as plain:
            plain.set("doc_text:x", "vandalised")
            plain.hset("doc_meta:x", "sha256", "0" * 64)
            await until(lambda: one.events.count("invalidated") >= 3)
            assert (await one.get()).status == "fetched"
            assert plain.get("doc_text:x") == b"one\ftwo"
        assert "corrupt" in one.events


async def test_f62_a_huge_text_is_loaded_anew_and_overwritten(redis_url):
    with redis.Redis.from_url(redis_url) as plain:
        plain.setrange("doc_text:x", 200 * 2**20, b"!")
        async with node(redis_url) as one:
            assert (await one.get()).status == "fetched"
            assert "oversize" in one.events
            assert plain.strlen("doc_text:x") == len("one\ftwo")


async def test_f61_a_cache_that_takes_nothing_does_not_make_it_load_again(redis_server):
    primary = redis_server()
    replica = redis_server("--replicaof", "127.0.0.1", str(primary.port))
    async with node(replica.url) as one:
        assert (await one.get()).status == "fetched"
        one.library._changed(None)  # as after a lost connection: all must be confirmed
        for _ in range(20):
            assert (await one.get()).status == "memory"
        assert one.source.loads == 1
        assert set(one.faults) == {"read_only"}


async def test_a_text_changed_by_another_process_is_seen(redis_url):
    source = Source()
    async with node(redis_url, source) as one, node(redis_url, source) as two:
        await one.get()
        assert (await two.get()).status == "cache"
        assert (await two.get()).status == "memory"
        source.text, source.etag = "new", "v2"
        one.now += 3601
        await one.get()
        await until(lambda: one.events.count("fetched") == 2)
        await until_true(lambda: has_text(two, "new"))
        assert source.loads == 2


async def test_deleting_the_text_makes_all_forget(redis_url):
    async with node(redis_url) as one:
        await one.get()
        one.source.text, one.source.etag = "new", "v2"
        with redis.Redis.from_url(redis_url) as plain:
            plain.delete("doc_text:x")
        await until_true(lambda: has_text(one, "new"))


async def test_what_is_held_costs_no_command(redis_url):
    async with node(redis_url) as one:
        await one.get()
        await until(lambda: "invalidated" in one.events[1:])
        await one.get()  # confirms what its own write made doubtful
        with redis.Redis.from_url(redis_url) as plain:
            before = plain.info("stats")["total_commands_processed"]
            for _ in range(1000):
                assert (await one.get()).status == "memory"
            assert plain.info("stats")["total_commands_processed"] - before <= 2


def stored(text: str) -> StoredText:
    key = source_key(URL)
    return StoredText("x", text, fingerprint(text), "T", 1_790_000_000.0, source_key=key)


async def test_a_read_that_an_invalidation_overtook_is_not_trusted(redis_url):
    """The old text is read, the change is told, and only then does the old text arrive."""
    async with node(redis_url) as one, node(redis_url) as other:
        await other.caches.texts.put(stored("old"), ttl_s=600)
        texts = one.caches.texts
        read, change_told = asyncio.Event(), asyncio.Event()
        get = texts.get

        async def slow_get(manual_id):
            found = await get(manual_id)
            read.set()
            await change_told.wait()
            return found

        texts.get = slow_get
        ask = asyncio.create_task(one.get())
        await read.wait()
        told = one.events.count("invalidated")
        await other.caches.texts.put(stored("new"), ttl_s=600)
        await until(lambda: one.events.count("invalidated") > told)
        change_told.set()
        assert (await ask).prepared.manual.text == "old"
        assert (await one.get()).prepared.manual.text == "new"
        assert one.source.loads == 0


async def test_a_confirmation_that_an_invalidation_overtook_is_not_trusted(redis_url):
    async with node(redis_url) as one, node(redis_url) as other:
        await other.caches.texts.put(stored("old"), ttl_s=600)
        assert (await one.get()).prepared.manual.text == "old"
        one.library._changed("x")
        texts = one.caches.texts
        read, change_told = asyncio.Event(), asyncio.Event()
        head = texts.head

        async def slow_head(manual_id):
            found = await head(manual_id)
            if not change_told.is_set():
                read.set()
                await change_told.wait()
            return found

        texts.head = slow_head
        ask = asyncio.create_task(one.get())
        await read.wait()
        told = one.events.count("invalidated")
        await other.caches.texts.put(stored("new"), ttl_s=600)
        await until(lambda: one.events.count("invalidated") > told)
        change_told.set()
        assert (await ask).prepared.manual.text == "old"
        assert (await one.get()).prepared.manual.text == "new"


async def test_without_invalidations_each_use_is_confirmed(redis_url):
    async with node(redis_url) as one, node(redis_url) as other:
        await other.caches.texts.put(stored("old"), ttl_s=600)
        assert (await one.get()).prepared.manual.text == "old"
        await one.caches.invalidations.aclose()
        assert not one.live
        await other.caches.texts.put(stored("new"), ttl_s=600)
        assert (await one.get()).prepared.manual.text == "new"


async def test_the_failure_of_a_manual_is_over_when_another_process_has_it(redis_url):
    async with node(redis_url) as one, node(redis_url) as other:
        one.source.error = ManualError("wrong_type", "An error page.")
        assert (await one.get()).status == "unavailable"
        assert (await other.get()).status == "fetched"
        await until(lambda: one.events.count("invalidated") >= 2)
        assert (await one.get()).status == "cache"
