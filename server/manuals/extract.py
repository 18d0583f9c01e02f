"""Extracts a manual's text in a child process of its own, which may crash, hang or be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from server.manuals.documents import Extracted, ManualError, OutlineEntry
from server.manuals.extraction.results import FRAME_HEAD, Job, Result, frame, result_of
from server.manuals.sniffing import Kind, sniff

__all__ = ["Extractor", "Kind", "sniff"]

OnPage = Callable[[int, int | None], None]
"""Called with the pages done and the pages in all, if known."""

FRAME_SLACK_BYTES: Final = 8 * 2**20
"""What the child may write beside the characters themselves: frames, title, outline."""
BYTES_PER_CHAR: Final = 4
SLICE_BYTES: Final = 256 * 1024

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_COMMAND: Final = (
    *(sys.executable, "-I", "-c"),
    "import sys; sys.path.append(sys.argv[1]); "
    "from server.manuals.extraction.child import main; main()",
    _ROOT,
)


class Extractor:
    """Reads manuals, at most `processes` at once, each in a child that serves it alone.

    One child waits ready, with its imports done. A child has `cpu_s` of processor time,
    `wall_s` in all, `memory_bytes` of address space, no network and no files to write.
    `command` replaces the child's program.
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
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._turn = asyncio.Semaphore(processes)
        self._cpu_s = cpu_s
        self._wall_s = wall_s
        self._memory_bytes = memory_bytes
        self._max_pages = max_pages
        self._max_chars = max_chars
        self._command = command
        self._spare: asyncio.Task[Process] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def expect(self) -> None:
        """Have a child started, unless one waits: a manual is on its way."""
        if self._spare is None and not self._closing.is_set():
            self._spare = asyncio.create_task(self._start(), name="extraction child")

    async def extract(self, data: bytes, kind: Kind, on_page: OnPage) -> Extracted:
        """Return the text of a manual; `on_page` is called after each page, in the event loop.

        Raises `ManualError`: damaged (also for a crash or a limit), encrypted, scanned, empty or
        too_large. When it is cancelled the child is killed at once.
        """
        async with self._turn:
            child = await self._take()
            try:
                async with asyncio.timeout(self._wall_s):
                    return await self._converse(child, data, kind, on_page)
            except TimeoutError:
                raise _gave_up(f"it took more than {self._wall_s:g} s") from None
            finally:
                self._end(child)

    async def aclose(self) -> None:
        """End every child."""
        self._closing.set()
        if self._spare is not None:
            with suppress(OSError):
                self._end(await self._spare)
            self._spare = None
        await asyncio.gather(*self._endings)

    async def _take(self) -> Process:
        """Return the child that waits, or a new one, and have the next one made."""
        if self._closing.is_set():
            raise ManualError("damaged", "The server is stopping: ask again.")
        spare, self._spare = self._spare, None
        spare = spare or asyncio.create_task(self._start(), name="extraction child")
        try:
            child = await asyncio.shield(spare)
        except asyncio.CancelledError:
            spare.add_done_callback(self._end_unused)
            raise
        except OSError as error:
            raise ManualError("damaged", "No process could be started to read it.") from error
        if child.returncode is not None:  # it died while it waited
            self._end(child)
            child = await self._start()
        self.expect()
        return child

    async def _start(self) -> Process:
        # Keys and addresses in the environment are none of a hostile document's business.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=kept | {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2"},
            cwd="/",
            start_new_session=True,  # Ctrl-C in a terminal is the server's to handle
        )

    async def _converse(
        self, child: Process, data: bytes, kind: Kind, on_page: OnPage
    ) -> Extracted:
        sending = asyncio.create_task(self._send(child, data, kind), name="extraction input")
        try:
            return await self._receive(child, on_page)
        except asyncio.IncompleteReadError:
            raise _gave_up("its reader crashed or met a limit of time or memory") from None
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def _send(self, child: Process, data: bytes, kind: Kind) -> None:
        assert child.stdin is not None
        job = Job(
            kind=kind,
            size=len(data),
            cpu_s=self._cpu_s,
            memory_bytes=self._memory_bytes,
            max_pages=self._max_pages,
            max_chars=self._max_chars,
        )
        view = memoryview(data)
        with suppress(OSError):  # a child that is gone shows in what it did not answer
            child.stdin.write(frame(job))
            for start in range(0, len(data), SLICE_BYTES):
                child.stdin.write(view[start : start + SLICE_BYTES])
                await child.stdin.drain()

    async def _receive(self, child: Process, on_page: OnPage) -> Extracted:
        assert child.stdout is not None
        left = BYTES_PER_CHAR * self._max_chars + FRAME_SLACK_BYTES
        pages: list[str] = []
        total, facts = None, Result()
        while True:
            [size] = FRAME_HEAD.unpack(await child.stdout.readexactly(FRAME_HEAD.size))
            left -= size + FRAME_HEAD.size
            if left < 0 or len(pages) > self._max_pages:
                raise _gave_up("its reader wrote more than a manual can hold")
            result = _decoded(await child.stdout.readexactly(size))
            if result.problem is not None:
                raise ManualError(result.problem, result.message)
            if result.end:
                return _extracted(pages, facts)
            total = result.pages_total or total
            if result.page is None:
                facts = result
            else:
                pages.append(result.page)
                on_page(len(pages), total)

    def _end_unused(self, starting: asyncio.Task[Process]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._end(starting.result())

    def _end(self, child: Process) -> None:
        """Kill a child now and have it collected; every child ends so, also a good one."""
        # Not child.kill(): that polls, and takes the exit status from under asyncio's watcher.
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        ending = asyncio.create_task(_collect(child), name="extraction end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


async def _collect(child: Process) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    # Unread output would keep the pipe open: at most what the pipe and our buffer hold is left.
    while await child.stdout.read(SLICE_BYTES):
        pass
    await child.wait()


def _decoded(body: bytes) -> Result:
    try:
        return result_of(body)
    except msgspec.MsgspecError:
        raise _gave_up("its reader wrote nonsense") from None


def _extracted(pages: list[str], facts: Result) -> Extracted:
    outline = tuple(OutlineEntry(title, page, level) for title, page, level in facts.outline)
    return Extracted(tuple(pages), facts.title, outline)


def _gave_up(why: str) -> ManualError:
    return ManualError(
        "damaged", f"Reading the manual was given up, {why}: export it again or split it."
    )
