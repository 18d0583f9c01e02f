"""Reading manuals in child processes, so that a hostile file harms nobody but its reader."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from server.manuals.documents import Extracted, ManualError, OutlineEntry
from server.manuals.extraction.frames import HEADER, MAX_FRAME_BYTES, pack

Kind = Literal["pdf", "html", "text", "markdown"]
OnPage = Callable[[int, int | None], None]

BYTES_PER_CHAR: Final = 6
"""What one character may take in a frame; JSON escapes take six bytes."""
SLACK_BYTES: Final = 4 * 2**20
"""For outline, title and the frames themselves, beside the text."""

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from server.manuals.extraction.child import main; main()"
)
_HTML_STARTS: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_MAGIC: Final = {
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"PK\x03\x04": "a ZIP archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file",
    b"Rar!": "an archive",
    b"7z\xbc\xaf": "an archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}
_TYPES: Final[dict[str, Kind]] = {
    "application/pdf": "pdf",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "text/plain": "text",
}
_ENDINGS: Final[dict[str, Kind]] = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
}


def sniff(data: bytes, *, declared: Kind | None, content_type: str, name: str) -> Kind:
    """Return what the data is, by its first bytes before anything it says of itself.

    `declared` is the catalog's word, `content_type` the server's, `name` a path or URL. Raises
    `ManualError`: `empty`, or `wrong_type` when the data is not what the catalog declares or is
    no kind of manual.
    """
    if not data.strip():
        raise ManualError("empty", "The manual's file is empty")
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    is_pdf = b"%PDF-" in data[:1024]
    is_html = start[:64].lower().startswith(_HTML_STARTS)
    found = "a PDF" if is_pdf else "an HTML page" if is_html else _magic(start) or "a text"
    wanted = declared or _told_kind(content_type, name)
    if is_pdf and declared in (None, "pdf"):
        return "pdf"
    if found == "a text" and wanted in (None, "text", "markdown", "html"):
        return wanted or "text"
    if is_html and declared in (None, "html") and wanted != "pdf":
        return "html"
    if is_html and declared in ("markdown", "text"):
        return declared
    expected = f", not {wanted.upper() if wanted in ('pdf', 'html') else wanted}" if wanted else ""
    raise ManualError("wrong_type", f"The manual's file is {found}{expected}; correct its address")


def _magic(start: bytes) -> str | None:
    known = next((what for magic, what in _MAGIC.items() if start.startswith(magic)), None)
    if known is None and b"\x00" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "a binary file"
    return known


def _told_kind(content_type: str, name: str) -> Kind | None:
    path = name.partition("?")[0].partition("#")[0].lower()
    by_name = next((kind for ending, kind in _ENDINGS.items() if path.endswith(ending)), None)
    told = _TYPES.get(content_type.partition(";")[0].strip().lower())
    return by_name if told in (None, "text") and by_name else told


class Extractor:
    """Reads at most `processes` manuals at a time, each in a child of its own.

    A child may take `cpu_s` seconds of processor time, `wall_s` in all and `memory_bytes` of
    memory, and gives at most `max_pages` pages and `max_chars` characters. It has no network,
    writes no files, and is gone after its one document.
    """

    def __init__(
        self,
        *,
        processes: int,
        cpu_s: int,
        wall_s: float,
        memory_bytes: int,
        max_pages: int,
        max_chars: int,
    ) -> None:
        self._slots = asyncio.Semaphore(processes)
        self._wall_s = wall_s
        self._limits = {
            "cpu_s": cpu_s,
            "memory_bytes": memory_bytes,
            "max_pages": max_pages,
            "max_chars": max_chars,
        }
        self._max_output = max_chars * BYTES_PER_CHAR + SLACK_BYTES
        self._running: set[asyncio.subprocess.Process] = set()

    async def extract(self, data: bytes, kind: Kind, on_page: OnPage) -> Extracted:
        """Return the text of each page; `on_page(done, total)` is called as they are finished.

        `total` is None where a document has no pages of its own. Raises `ManualError`.
        """
        async with self._slots:
            child = await self._spawn()
            self._running.add(child)
            try:
                async with asyncio.timeout(self._wall_s):
                    return await self._converse(child, data, kind, on_page)
            except TimeoutError:
                raise ManualError(
                    "damaged", f"Reading the manual took longer than {self._wall_s:g} s"
                ) from None
            finally:
                self._running.discard(child)
                await _end(child)

    async def _spawn(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", _PROGRAM, _ROOT),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
        except OSError as error:
            raise ManualError(
                "unreachable", f"The server cannot start a reader now ({error.strerror})"
            ) from None

    async def _converse(
        self, child: asyncio.subprocess.Process, data: bytes, kind: Kind, on_page: OnPage
    ) -> Extracted:
        sending = asyncio.create_task(
            _send(child, pack({"kind": kind, **self._limits}), data), name="extract-send"
        )
        try:
            return await self._receive(child, on_page)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _receive(self, child: asyncio.subprocess.Process, on_page: OnPage) -> Extracted:
        assert child.stdout is not None
        pages: list[str] = []
        received = 0
        while True:
            frame = await _read_frame(child.stdout)
            received += len(frame)
            if not frame or received > self._max_output:
                raise ManualError("damaged", "Reading the manual met a limit of time or memory")
            message: dict[str, Any] = json.loads(frame)
            if "page" in message:
                pages.append(message["page"])
                on_page(len(pages), message["total"])
            elif "restart" in message:
                pages.clear()
            elif "problem" in message:
                raise ManualError(message["problem"], message["message"])
            else:
                outline = tuple(OutlineEntry(*entry) for entry in message["outline"])
                return Extracted(tuple(pages), message["title"], outline)

    async def aclose(self) -> None:
        """End every reader."""
        for child in tuple(self._running):
            with contextlib.suppress(ProcessLookupError):
                child.kill()


async def _send(child: asyncio.subprocess.Process, request: bytes, data: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(ConnectionError):  # a child that died tells so by its silence
        child.stdin.write(request)
        child.stdin.write(data)
        await child.stdin.drain()
        child.stdin.close()


async def _read_frame(stream: asyncio.StreamReader) -> bytes:
    """Return the next frame's body; empty when the child ended or broke the rules."""
    try:
        size = HEADER.unpack(await stream.readexactly(HEADER.size))[0]
        return await stream.readexactly(size) if size <= MAX_FRAME_BYTES else b""
    except asyncio.IncompleteReadError:
        return b""


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
