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


@contextmanager
def redis_log() -> Iterator[int]:
    """Start a Redis that is fit to be a log (no eviction, append-only file); give its port."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("needs redis-server on the PATH (Debian: apt install redis-server)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await_port(port)
            yield port
        finally:
            process.kill()
            process.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit("Redis did not start")
