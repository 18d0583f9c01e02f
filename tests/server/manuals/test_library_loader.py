"""The loader with a real fetcher over loopback HTTP, real files and the real extractor."""

from __future__ import annotations

import asyncio
import os

import pytest

from server.manuals.documents import ManualError, ManualSource
from server.manuals.extract import Extractor
from server.manuals.fetch import Fetcher
from server.manuals.library import Library, Progress
from server.manuals.loader import Loader
from server.manuals.ranking import ManualIndex
from server.manuals.sources import Unchanged
from server.storage.caches import open_caches

TEXT = "Pairing\n\nHold the Bluetooth button for 3 seconds until the lamp blinks.\n"


class Site:
    """An HTTP server on loopback: `pages` by path, each with an etag."""

    def __init__(self):
        self.pages = {"/manual.txt": (b"200 OK", TEXT.encode(), b'"v1"')}
        self.asked: list[str] = []
        self.on_ask = lambda: None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        self.asked.append(path)
        self.on_ask()
        status, body, etag = self.pages.get(path, (b"404 Not Found", b"", b""))
        if etag and f"if-none-match: {etag.decode()}" in head.lower():
            status, body = b"304 Not Modified", b""
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%b"
            b"Connection: close\r\n\r\n%b"
            % (status, len(body), b"ETag: %b\r\n" % etag if etag else b"", body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def site():
    async with Site() as site:
        yield site


@pytest.fixture
async def loader():
    fetcher = Fetcher(allow_http=True, allow_private=True, timeout_s=10, max_bytes=10**6)
    extractor = Extractor(
        processes=1, cpu_s=20, wall_s=30, memory_bytes=2**30, max_pages=100, max_chars=10**6
    )
    yield Loader(fetcher, extractor, max_bytes=10**6)
    await fetcher.aclose()
    await extractor.aclose()


def ignore(progress: Progress) -> None:
    pass


async def test_fetches_extracts_and_reports(site, loader):
    heard = []
    source = ManualSource(url=f"{site.url}/manual.txt")
    loaded = await loader.load(source, "", heard.append)
    assert "Bluetooth button" in loaded.extracted.pages[0]
    assert loaded.etag == '"v1"'
    assert Progress("fetching", len(TEXT), len(TEXT)) in heard
    assert {progress.stage for progress in heard} == {"fetching", "extracting"}


async def test_the_child_that_extracts_starts_while_the_manual_is_fetched(site, loader):
    started = []
    site.on_ask = lambda: started.append(loader._extractor._spare is not None)
    source = ManualSource(url=f"{site.url}/manual.txt")
    assert await loader.load(source, '"v1"', ignore) == Unchanged()
    await loader.load(source, "", ignore)
    assert started == [False, True], "only where there will be something to extract"


async def test_an_etag_that_holds_is_unchanged(site, loader):
    source = ManualSource(url=f"{site.url}/manual.txt")
    assert await loader.load(source, '"v1"', ignore) == Unchanged()
    assert not isinstance(await loader.load(source, '"v0"', ignore), Unchanged)


async def test_the_backup_is_tried_and_has_an_etag_of_its_own(site, loader):
    source = ManualSource(url=f"{site.url}/gone.txt", backup_url=f"{site.url}/manual.txt")
    loaded = await loader.load(source, '"v1"', ignore)
    assert loaded.etag == 'backup:"v1"', "the etag of the first place means nothing there"
    assert site.asked == ["/gone.txt", "/manual.txt"]
    assert await loader.load(source, loaded.etag, ignore) == Unchanged()
    site.pages["/gone.txt"] = (b"200 OK", b"back again and different", b'"v1"')
    assert "back again" in (await loader.load(source, loaded.etag, ignore)).extracted.pages[0]


async def test_when_both_fail_the_first_failure_is_told(site, loader):
    site.pages["/broken.txt"] = (b"503 Unavailable", b"", b"")
    source = ManualSource(url=f"{site.url}/gone.txt", backup_url=f"{site.url}/broken.txt")
    with pytest.raises(ManualError) as caught:
        await loader.load(source, "", ignore)
    assert caught.value.problem == "not_found"


async def test_a_backup_serves_where_the_first_sends_something_else(site, loader):
    source = ManualSource(url=f"{site.url}/odd", type="text", backup_url=f"{site.url}/manual.txt")
    site.pages["/odd"] = (b"200 OK", b"MZ\x90\0\x03\0\0\0" + b"\0" * 100, b"")
    assert "Bluetooth" in (await loader.load(source, "", ignore)).extracted.pages[0]


async def test_a_file_is_read_and_then_only_looked_at(loader, tmp_path):
    path = tmp_path / "manual.md"
    path.write_text("# Pairing\n\nHold the button.\n")
    source = ManualSource(path=str(path), type="markdown")
    loaded = await loader.load(source, "", ignore)
    assert "Hold the button" in "".join(loaded.extracted.pages)
    assert await loader.load(source, loaded.etag, ignore) == Unchanged()
    path.write_text("# Pairing\n\nPress the button.\n")
    os.utime(path, ns=(1, 1))
    again = await loader.load(source, loaded.etag, ignore)
    assert "Press the button" in "".join(again.extracted.pages)


async def test_a_missing_file_is_not_found(loader, tmp_path):
    with pytest.raises(ManualError) as caught:
        await loader.load(ManualSource(path=str(tmp_path / "none.pdf")), "", ignore)
    assert caught.value.problem == "not_found"


async def test_a_source_without_a_place_is_not_configured(loader):
    with pytest.raises(ManualError) as caught:
        await loader.load(ManualSource(), "", ignore)
    assert caught.value.problem == "not_configured"


async def test_the_library_answers_from_a_real_site(site, loader):
    caches = open_caches("", text_bytes=10**6, answer_bytes=10**6)
    library = Library(
        loader=loader,
        build_index=ManualIndex.build,
        caches=caches,
        max_bytes=10**7,
        ttl_s=3600,
        stale_s=3600,
    )
    source = ManualSource(url=f"{site.url}/manual.txt")
    views = await asyncio.gather(*(library.get("td-17", source, ignore) for _ in range(50)))
    assert {view.status for view in views} == {"fetched"}
    assert site.asked == ["/manual.txt"]
    [best, *_] = views[0].prepared.index.search("How do I pair Bluetooth?", 3)
    assert best is not None
    missing = await library.get("x", ManualSource(url=f"{site.url}/gone.txt"), ignore)
    assert (missing.status, missing.problem) == ("unavailable", "not_found")
    assert missing.message
    await library.aclose()
