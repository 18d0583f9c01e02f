"""A candidate and the upstream as running processes, on the cores of a benchmark."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.streams.candidates import PASSED_ON, RATE_PER_S, Candidate
from benchmarks.streams.process import CannotStartError, Serving, free_port, serving
from benchmarks.streams.reader import Reader
from benchmarks.streams.stream import Progress, Stream

SERVER_CORE, READER_CORE = 0, 1

WARM_S = 60.0
"""How long the first answer may take: manuals are read, connections opened, modules loaded."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A running candidate with what feeds it."""

    candidate: Candidate
    server: Serving
    upstream: Serving | None

    @property
    def upstream_url(self) -> str:
        """Where the upstream is, empty without one."""
        return f"http://127.0.0.1:{self.upstream.port}" if self.upstream else ""

    def reader_cpu_s(self) -> float:
        """Return what the reader's core has computed for us: the reader, and the upstream."""
        return time.process_time() + (self.upstream.cpu_s() if self.upstream else 0.0)

    async def connect(self, reader: Reader, progress: Progress, *, words: int = 0) -> Stream:
        """Connect a stream, which asks at once, for an answer of `words` or one without an end.

        Raises `OSError`.
        """
        port = self.server.port
        stream = self.candidate.stream(progress, port, self.upstream_url, words)
        await reader.add(stream, port)
        return stream

    def request(self, words: int) -> bytes:
        """Return the bytes that ask once more on the same connection."""
        return self.candidate.request(self.server.port, self.upstream_url, words)

    async def warm(self, reader: Reader) -> None:
        """Ask one question and read its first token. Raises `CannotStartError`."""
        progress = Progress(RATE_PER_S)
        stream = await self.connect(reader, progress)
        try:
            async with asyncio.timeout(WARM_S):
                await stream.begun
        except TimeoutError:
            raise CannotStartError(f"no token within {WARM_S:.0f} s") from None
        finally:
            stream.close()
        if progress.faults:
            raise CannotStartError("; ".join(progress.faults))


@contextmanager
def upstream(*, even: bool, rate_per_s: float = RATE_PER_S) -> Iterator[Serving]:
    """Start the upstream on the reader's core."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.upstream", "--port", str(port)]
    command += ["--rate", str(rate_per_s), *(["--even"] if even else [])]
    with serving(command, port=port, core=READER_CORE, env={}, start_s=30) as started:
        yield started


@contextmanager
def rig(candidate: Candidate, source: Serving | None = None) -> Iterator[Rig]:
    """Start a candidate; before an upstream of its own, evenly spread, unless `source` is one.

    Raises `CannotStartError`.
    """
    with ExitStack() as stack:
        if source is None and candidate.group == PASSED_ON:
            source = stack.enter_context(upstream(even=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        port = free_port()
        url = f"http://127.0.0.1:{source.port}" if source else ""
        command, env = candidate.filled(port, url, folder)
        started = stack.enter_context(
            serving(command, port=port, core=SERVER_CORE, env=env, start_s=candidate.start_s)
        )
        yield Rig(candidate, started, source)


def be_the_reader() -> None:
    """Stay on the reader's core, with as many files as this process may have open."""
    os.sched_setaffinity(0, {READER_CORE})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
