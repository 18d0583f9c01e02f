"""The library over the in-memory ports: what is served, when, and how often it is loaded."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.manuals.documents import (
    PAGE_SEPARATOR,
    Extracted,
    ManualError,
    ManualSource,
    OutlineEntry,
)
from server.manuals.library import Library
from server.manuals.sources import Loaded, Progress, Unchanged
from server.storage.caches import open_caches
from server.storage.texts import fingerprint

URL = ManualSource(url="https://vendor.example/td17.pdf")


class Index:
    def __init__(self, manual):
        self.manual = manual
        self.size_bytes = 1000


class Source:
    """A loader that says, fails, waits and reports as told."""

    def __init__(self, text: str = "page one\fpage two", etag: str = "v1"):
        self.text = text
        self.etag = etag
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reports: list[Progress] = []
        self.loads: list[tuple[ManualSource, str]] = []

    async def load(self, source, etag, on_progress):
        self.loads.append((source, etag))
        for report in self.reports:
            on_progress(report)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if etag and etag == self.etag:
            return Unchanged()
        pages = tuple(self.text.split(PAGE_SEPARATOR))
        return Loaded(Extracted(pages, "Title", (OutlineEntry("Start", 1, 0),)), self.etag)


class Shop:
    """A library with its source, clock and counts."""

    def __init__(self, source=None, *, max_bytes=10_000_000, text_bytes=10_000_000, **options):
        self.source = source or Source()
        self.now = 1_790_000_000.0
        self.events: list[str] = []
        self.caches = open_caches(
            "",
            text_bytes=text_bytes,
            answer_bytes=1000,
            now=lambda: self.now,
            clock=lambda: self.now,
        )
        self.library = Library(
            loader=self.source,
            build_index=options.pop("build_index", Index),
            caches=self.caches,
            max_bytes=max_bytes,
            ttl_s=options.pop("ttl_s", 3600),
            stale_s=options.pop("stale_s", 7200),
            now=lambda: self.now,
            clock=lambda: self.now,
            on_event=self.events.append,
            **options,
        )

    async def get(self, manual_id="td-17", source=URL, on_progress=lambda progress: None):
        return await self.library.get(manual_id, source, on_progress)


@pytest.fixture
async def shop():
    shop = Shop()
    yield shop
    await shop.library.aclose()


async def until(check, bound_s: float = 10.0):
    deadline = time.monotonic() + bound_s
    while not check():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.002)


async def test_loads_once_then_serves_from_memory(shop):
    first = await shop.get()
    second = await shop.get()
    assert (first.status, second.status) == ("fetched", "memory")
    assert second.prepared is first.prepared
    assert len(shop.source.loads) == 1
    assert shop.library.is_cached("td-17")
    assert not shop.library.is_cached("other")


async def test_the_prepared_manual_is_what_the_source_has(shop):
    prepared = (await shop.get()).prepared
    manual = prepared.manual
    assert manual.text == "page one\fpage two"
    assert manual.pages == 2
    assert prepared.page_starts == (0, 9)
    assert [manual.text[start:][:4] for start in prepared.page_starts] == ["page", "page"]
    assert manual.outline == (OutlineEntry("Start", 1, 0),)
    assert manual.title == "Title"
    assert manual.etag == "v1"
    assert manual.fetched_at == shop.now
    assert manual.sha256 == fingerprint(manual.text)
    assert prepared.index.manual is manual


async def test_a_product_without_a_manual_says_so(shop):
    view = await shop.get(source=None)
    assert (view.status, view.problem) == ("none", "not_configured")
    assert view.message
    assert shop.source.loads == []


async def test_falls_back_on_the_text_cache_when_the_shelf_is_full():
    shop = Shop(max_bytes=3000)
    await shop.get("a")
    await shop.get("b")
    await shop.get("c")
    view = await shop.get("a")
    assert view.status == "cache"
    assert len(shop.source.loads) == 3
    assert "evicted" in shop.events
    await shop.library.aclose()


async def test_f56_a_thousand_asks_for_a_cold_manual_load_it_once(shop):
    shop.source.gate.clear()
    asks = [asyncio.create_task(shop.get()) for _ in range(1000)]
    await until(lambda: shop.source.loads)
    shop.source.gate.set()
    views = await asyncio.gather(*asks)
    assert {view.status for view in views} == {"fetched"}
    assert len({id(view.prepared) for view in views}) == 1
    assert len(shop.source.loads) == 1
    assert shop.events.count("shared") == 999
    assert shop.events.count("miss") == 1


async def test_all_who_wait_hear_the_progress(shop):
    shop.source.gate.clear()
    shop.source.reports = [Progress("fetching", 10, 20), Progress("fetching", 20, 20)]
    heard: list[list[Progress]] = [[] for _ in range(5)]
    first = asyncio.create_task(shop.get(on_progress=heard[0].append))
    await until(lambda: heard[0])
    others = [asyncio.create_task(shop.get(on_progress=one.append)) for one in heard[1:]]
    await until(lambda: all(heard))
    shop.source.gate.set()
    await asyncio.gather(first, *others)
    assert heard[0] == shop.source.reports
    assert all(one == [Progress("fetching", 20, 20)] for one in heard[1:])


async def test_progress_of_a_thousand_pages_is_thinned(shop):
    shop.source.reports = [Progress("extracting", n, 1000) for n in range(1001)]
    heard = []
    await shop.get(on_progress=heard.append)
    assert heard[0] == Progress("extracting", 0, 1000)
    assert heard[-1] == Progress("extracting", 1000, 1000)
    assert len(heard) < 100


async def test_a_listener_that_fails_spoils_nothing(shop):
    def fail(progress):
        raise RuntimeError("broken socket")

    shop.source.reports = [Progress("fetching", 1, 1)]
    assert (await shop.get(on_progress=fail)).status == "fetched"


async def test_who_leaves_does_not_take_the_work_along(shop):
    shop.source.gate.clear()
    leaving = asyncio.create_task(shop.get())
    await until(lambda: shop.source.loads)
    staying = asyncio.create_task(shop.get())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    shop.source.gate.set()
    assert (await staying).status == "fetched"
    assert len(shop.source.loads) == 1


async def test_work_goes_on_when_all_have_left(shop):
    shop.source.gate.clear()
    leaving = asyncio.create_task(shop.get())
    await until(lambda: shop.source.loads)
    leaving.cancel()
    shop.source.gate.set()
    await until(lambda: shop.library.is_cached("td-17"))


async def test_f58_past_its_time_a_manual_is_served_and_refreshed_once(shop):
    await shop.get()
    shop.now += 3601
    shop.source.gate.clear()
    views = await asyncio.gather(*(shop.get() for _ in range(500)))
    assert {view.status for view in views} == {"stale"}
    assert views[0].age_s == 3601
    await until(lambda: len(shop.source.loads) == 2)
    assert shop.source.loads[1] == (URL, "v1"), "revalidated by its etag"
    shop.source.gate.set()
    await until(lambda: "unchanged" in shop.events)
    view = await shop.get()
    assert (view.status, view.age_s) == ("memory", 0)
    assert len(shop.source.loads) == 2


async def test_f58_a_changed_manual_replaces_the_stale_one(shop):
    old = await shop.get()
    shop.now += 3601
    shop.source.text, shop.source.etag = "quite new", "v2"
    assert (await shop.get()).prepared is old.prepared
    await until(lambda: shop.events.count("fetched") == 2)
    view = await shop.get()
    assert view.status == "memory"
    assert view.prepared.manual.text == "quite new"


async def test_f59_a_failing_refresh_leaves_the_stale_manual_until_its_limit(shop):
    await shop.get()
    shop.source.error = ManualError("unreachable", "The server answered 503.")
    shop.now += 3601
    assert (await shop.get()).status == "stale"
    await until(lambda: "fetch_error" in shop.events)
    for _ in range(100):
        assert (await shop.get()).status == "stale"
    assert len(shop.source.loads) == 2, "the failure is remembered"
    shop.now += 7199
    view = await shop.get()
    assert (view.status, view.age_s) == ("stale", 10_800)
    shop.now += 1
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "unreachable")
    assert view.message == "The server answered 503."
    shop.source.error = None
    shop.now += 6
    assert (await shop.get()).status in ("fetched", "memory")


async def test_f59_a_passing_failure_is_remembered_for_5_seconds(shop):
    shop.source.error = ManualError("timeout", "The server was too slow.")
    for _ in range(50):
        view = await shop.get()
        assert (view.status, view.problem) == ("unavailable", "timeout")
    assert len(shop.source.loads) == 1
    assert shop.events.count("negative") == 49
    shop.now += 4.9
    await shop.get()
    assert len(shop.source.loads) == 1
    shop.now += 0.2
    shop.source.error = None
    assert (await shop.get()).status == "fetched"


async def test_f59_a_definite_failure_is_remembered_for_60_seconds(shop):
    shop.source.error = ManualError("wrong_type", "That is not a PDF.")
    await shop.get()
    shop.now += 59
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "wrong_type")
    assert len(shop.source.loads) == 1
    shop.now += 2
    await shop.get()
    assert len(shop.source.loads) == 2


async def test_f59_a_failure_is_never_content(shop):
    shop.source.error = ManualError("unreachable", "The server answered 500.")
    await shop.get()
    assert not shop.library.is_cached("td-17")
    assert await shop.library.cached(["td-17"]) == frozenset()


async def test_a_failure_of_one_source_does_not_bar_another(shop):
    shop.source.error = ManualError("not_found", "No such file.")
    await shop.get()
    shop.source.error = None
    view = await shop.get(source=ManualSource(url="https://vendor.example/new.pdf"))
    assert view.status == "fetched"


async def test_a_moved_manual_is_not_answered_from_the_old_text(shop):
    await shop.get()
    shop.source.text, shop.source.etag = "another manual", "w1"
    moved = ManualSource(url="https://vendor.example/td17-v2.pdf")
    view = await shop.get(source=moved)
    assert view.status == "fetched"
    assert view.prepared.manual.text == "another manual"
    assert shop.source.loads[1] == (moved, ""), "no etag of the old place"
    assert "source_changed" in shop.events


async def test_another_backup_is_not_another_manual(shop):
    await shop.get()
    same = ManualSource(url=URL.url, backup_url="https://mirror.example/td17.pdf")
    assert (await shop.get(source=same)).status == "memory"


@pytest.mark.parametrize("pages", [(), ("",), ("  ", "\n")])
async def test_a_manual_without_text_is_empty(shop, pages):
    async def load(source, etag, on_progress):
        return Loaded(Extracted(pages))

    shop.source.load = load
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "empty")


async def test_odd_characters_of_a_page_are_survived(shop):
    async def load(source, etag, on_progress):
        return Loaded(Extracted(("one\fhalf", "lone \ud800 surrogate"), "T\ud800"))

    shop.source.load = load
    manual = (await shop.get()).prepared.manual
    assert manual.pages == 2
    assert manual.text == "one\nhalf\flone ? surrogate"


async def test_a_fault_of_ours_is_an_unavailable_manual(shop):
    shop.source.error = RuntimeError("a bug")
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "damaged")


async def test_a_source_that_never_ends_is_left():
    shop = Shop(load_timeout_s=0.05)
    shop.source.gate.clear()
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "timeout")
    await shop.library.aclose()


async def test_unchanged_without_anything_held_is_a_failure(shop):
    async def load(source, etag, on_progress):
        return Unchanged()

    shop.source.load = load
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "unreachable")


class TestFiles:
    FILE = ManualSource(path="manual.pdf")

    async def test_an_edited_file_is_read_again(self, shop):
        await shop.get(source=self.FILE)
        shop.source.text, shop.source.etag = "edited", "v2"
        shop.now += 9
        assert (await shop.get(source=self.FILE)).prepared.manual.text == "page one\fpage two"
        shop.now += 2
        view = await shop.get(source=self.FILE)
        assert (view.status, view.prepared.manual.text) == ("fetched", "edited")

    async def test_an_unchanged_file_is_only_looked_at(self, shop):
        first = await shop.get(source=self.FILE)
        shop.now += 11
        second = await shop.get(source=self.FILE)
        assert second.status == "memory"
        assert second.prepared.index is first.prepared.index
        assert shop.source.loads[1] == (self.FILE, "v1")
        await shop.get(source=self.FILE)
        assert len(shop.source.loads) == 2

    async def test_a_removed_file_is_gone(self, shop):
        await shop.get(source=self.FILE)
        shop.source.error = ManualError("not_found", "No such file.")
        shop.now += 11
        view = await shop.get(source=self.FILE)
        assert (view.status, view.problem) == ("unavailable", "not_found")

    async def test_an_unreadable_file_leaves_what_was_read(self, shop):
        await shop.get(source=self.FILE)
        shop.source.error = ManualError("damaged", "Half written.")
        shop.now += 11
        assert (await shop.get(source=self.FILE)).status == "stale"


class TestWarming:
    async def test_the_most_asked_first_then_files(self, shop):
        await shop.caches.popularity.add({"hot": 50, "warm": 5, "gone": 99})
        products = [
            ("cold", ManualSource(url="https://vendor.example/cold.pdf")),
            ("file", ManualSource(path="file.pdf")),
            ("warm", ManualSource(url="https://vendor.example/warm.pdf")),
            ("hot", ManualSource(url="https://vendor.example/hot.pdf")),
        ]
        assert await shop.library.warm(products, 10) == 3
        assert shop.library.is_cached("hot")
        assert shop.library.is_cached("file")
        assert not shop.library.is_cached("cold")

    async def test_not_more_than_asked_and_failures_not_counted(self, shop):
        shop.source.error = ManualError("not_found", "No such file.")
        products = [(f"f{n}", ManualSource(path=f"{n}.pdf")) for n in range(9)]
        assert await shop.library.warm(products, 3) == 0
        assert len(shop.source.loads) == 3

    async def test_asks_are_counted_for_the_next_start(self, shop):
        await shop.get("a")
        await shop.get("a")
        await shop.get("b")
        await shop.library.aclose()
        assert await shop.caches.popularity.top(5) == ["a", "b"]

    async def test_counts_are_told_while_it_runs(self, shop):
        await shop.get("a")
        shop.now += 6
        await shop.get("a")
        await asyncio.sleep(0)
        assert await shop.caches.popularity.top(5) == ["a"]


async def test_knows_what_is_cached_anywhere(shop):
    await shop.get("a")
    assert await shop.library.cached(["a", "b"]) == {"a"}


async def test_closing_ends_the_work_and_answers_who_waits(shop):
    shop.source.gate.clear()
    ask = asyncio.create_task(shop.get())
    await until(lambda: shop.source.loads)
    await shop.library.aclose()
    view = await ask
    assert (view.status, view.problem) == ("unavailable", "unreachable")
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith(("manual", "lease")) for name in names)


async def test_a_fault_of_ours_in_a_refresh_is_survived(shop):
    await shop.get()
    shop.source.error = RuntimeError("a bug")
    shop.now += 3601
    assert (await shop.get()).status == "stale"
    await until(lambda: len(shop.source.loads) == 2)
    await asyncio.sleep(0)
    shop.now += 2
    assert (await shop.get()).status == "stale"
    assert len(shop.source.loads) == 2, "remembered like any other failure"


async def test_a_manual_that_cannot_be_indexed_is_unavailable():
    def fail(manual):
        raise RuntimeError("a bug")

    shop = Shop(build_index=fail)
    view = await shop.get()
    assert (view.status, view.problem) == ("unavailable", "damaged")
    await shop.library.aclose()
