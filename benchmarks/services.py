"""PostgreSQL and Redis for benchmarks: processes of their own, as the tests start them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
def postgres(url: str = "") -> Iterator[str]:
    """Give the URL of an empty database: the one that is lent, else one of a server of our own."""
    if url:
        yield url
        return
    with postgres_server() as server:
        yield server.url


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
