"""PostgreSQL and Redis for benchmarks: processes of their own, as the tests start them."""

from __future__ import annotations

import shutil
import sys
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
