"""What `manicule check` finds out about services, each remedy included."""

from __future__ import annotations

import sqlite3

from server.storage.checks import check_cache, check_log, check_store


def wrong(findings):
    return [finding for finding in findings if not finding.ok]


async def test_a_plain_cache_is_fine(redis_url):
    findings = await check_cache(redis_url)
    assert wrong(findings) == []
    assert any("version" in finding.what for finding in findings)


async def test_a_cache_that_refuses_when_full_is_named(redis_server):
    server = redis_server("--maxmemory", "10mb", "--maxmemory-policy", "noeviction")
    [finding] = wrong(await check_cache(server.url))
    assert "allkeys-lru" in finding.remedy


async def test_a_cache_that_is_away_is_named(free_port):
    [finding] = await check_cache(f"redis://127.0.0.1:{free_port}/0")
    assert not finding.ok
    assert finding.what.startswith("unreachable")
    assert finding.remedy


async def test_a_wrong_password_is_named_and_not_shown(redis_server):
    server = redis_server("--requirepass", "right-one")
    [finding] = await check_cache(f"redis://:canary-7@127.0.0.1:{server.port}/0")
    assert finding.what.startswith("refused")
    assert "canary-7" not in finding.what + finding.remedy


async def test_a_url_of_something_else_is_named():
    for check in (check_cache, check_log, check_store):
        [finding] = await check("http://example.com")
        assert not finding.ok
        assert finding.remedy


async def test_a_log_needs_an_append_only_file(redis_server):
    [finding] = wrong(await check_log(redis_server().url))
    assert "append-only" in finding.what


async def test_a_log_must_not_evict(redis_server):
    server = redis_server("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru")
    [finding] = wrong(await check_log(server.url))
    assert "noeviction" in finding.remedy


async def test_a_log_that_keeps_what_it_took_is_fine(redis_server):
    server = redis_server("--appendonly", "yes", "--maxmemory-policy", "noeviction")
    assert wrong(await check_log(server.url)) == []


async def test_a_log_must_be_the_primary(redis_server):
    primary = redis_server("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    replica = redis_server("--appendonly", "yes", "--replicaof", "127.0.0.1", str(primary.port))
    [finding] = wrong(await check_log(replica.url))
    assert "primary" in finding.remedy


async def test_a_new_sqlite_file_is_fine_and_not_left_behind(tmp_path):
    path = tmp_path / "new" / "store.db"
    assert wrong(await check_store(f"sqlite:///{path}")) == []
    assert not path.exists()


async def test_a_sqlite_file_in_use_is_kept(tmp_path):
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kept (one)")
    connection.close()
    assert wrong(await check_store(f"sqlite:///{path}")) == []
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]
    connection.close()


async def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "store.db"
    path.write_text("a shopping list, long enough to be read as a header of something else " * 20)
    [finding] = await check_store(f"sqlite:///{path}")
    assert not finding.ok
    assert path.exists()


async def test_a_damaged_database_is_named(tmp_path):
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (one)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(200)])
    connection.commit()
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    path.write_bytes(bytes(data))
    assert wrong(await check_store(f"sqlite:///{path}"))


async def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    [finding] = await check_store(f"sqlite:///{tmp_path}/file/store.db")
    assert not finding.ok


async def test_a_postgres_that_is_away_is_named(free_port):
    [finding] = await check_store(f"postgresql://u:canary-7@127.0.0.1:{free_port}/d")
    assert not finding.ok
    assert "canary-7" not in finding.what + finding.remedy
