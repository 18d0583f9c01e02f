"""What docs/recovery.md says, done: a copy is taken while people judge, and restored."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from postgres_servers import SUPERUSER, program
from processes import factory, wait_until
from wire import open_client

from server.feedback.caps import DAILY_CAP

RATE = "/api/rlhf/statistics/acceptance-rate"


@pytest.fixture
def server(tmp_path_factory):
    yield from factory(tmp_path_factory)


class Judge:
    """One client that asks once and then judges as often as it is told."""

    def __init__(self, client):
        self.client = client
        self.acked = {}

    async def ask(self):
        await self.client.ask(event_id="one")
        self.final = await self.client.final("one")

    async def judge(self, event_id=None):
        """Whether the store knew it."""
        event_id = event_id or str(uuid.uuid4())
        facts = {"response_id": self.final["id"], "receipt": self.final["receipt"]}
        await self.client.send("feedback.create", event_id=event_id, action="accept", **facts)
        ack = await self.client.until(
            lambda e: e["type"] == "feedback.acknowledged" and e["event_id"] == event_id
        )
        self.client.seen.remove(ack)
        assert ack["level"] == "committed"
        self.acked[event_id] = True
        return ack["duplicate"]


async def judged_while(target, work):
    """Judge without a pause while `work` runs in a thread: what was acked before it, and after."""
    async with open_client(target.url) as client:
        judge = Judge(client)
        await judge.ask()
        for _ in range(50):
            await judge.judge()
        before = list(judge.acked)
        task = asyncio.create_task(asyncio.to_thread(work))
        await judge.judge()
        while not task.done():
            await judge.judge()
        await task
        return judge, before


async def check_restored(target, judge, before):
    """All that was acked before the copy is there; what came later can be sent again."""
    async with httpx.AsyncClient(base_url=target.url, trust_env=False) as http:
        counted = (await http.get(RATE)).json()["overall"]["counts"]
    async with open_client(target.url) as client:
        again = Judge(client)
        again.final = judge.final
        known = [event_id for event_id in judge.acked if await again.judge(event_id)]
    assert set(before) <= set(known)
    # One person's judgements count up to a daily cap; the sums are of the same moment as the rows.
    assert counted["accepted"] == min(len(known), DAILY_CAP)


def manicule(folder, *words):
    run = [sys.executable, "-m", "server", *words]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MANICULE")}
    done = subprocess.run(run, cwd=folder, env=clean, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


async def test_a_copy_of_sqlite_taken_at_work_is_restored_with_all_that_was_acked(server, tmp_path):
    first = await asyncio.to_thread(server, None, secret_key="k" * 32)
    data, copy = first.folder / "data", tmp_path / "copy.db"

    def back_up():
        code, said, wrong = manicule(
            tmp_path, "backup", str(copy), "--data-dir", str(data), "--json"
        )
        assert (code, wrong) == (0, "")
        assert json.loads(said) == {"file": str(copy), "bytes": copy.stat().st_size}

    judge, before = await judged_while(first, back_up)
    first.kill()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("copy")) == [
        "copy.db"
    ], "one file, no companions"
    shutil.rmtree(data)
    data.mkdir()
    shutil.copy(copy, data / "manicule.db")
    second = await asyncio.to_thread(server, None, "--data-dir", str(data), secret_key="k" * 32)
    await check_restored(second, judge, before)


def test_a_copy_never_overwrites_and_never_makes_a_store(tmp_path):
    (tmp_path / "there.db").write_text("mine")
    data = tmp_path / "data"
    code, _, wrong = manicule(tmp_path, "backup", "new.db", "--data-dir", str(data))
    assert code == 3
    assert "there is no store" in wrong
    assert not (data / "manicule.db").exists()
    assert manicule(tmp_path, "migrate", "--data-dir", str(data))[0] == 0
    code, _, wrong = manicule(tmp_path, "backup", "there.db", "--data-dir", str(data))
    assert (code, "is there already" in wrong) == (1, True)
    assert (tmp_path / "there.db").read_text() == "mine"
    code, _, wrong = manicule(tmp_path, "backup", "no/folder.db", "--data-dir", str(data))
    assert (code, "cannot be written" in wrong) == (1, True)
    code, _, wrong = manicule(
        tmp_path, "backup", "x.db", "--store", "postgresql://127.0.0.1/x", "--data-dir", str(data)
    )
    assert (code, "pg_dump" in wrong) == (2, True)
    assert "backup" in (data / "audit.jsonl").read_text()


def test_a_damaged_store_gives_no_copy(tmp_path):
    data = tmp_path / "data"
    assert manicule(tmp_path, "migrate", "--data-dir", str(data))[0] == 0
    with closing(sqlite3.connect(data / "manicule.db")) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = store.execute(
            "SELECT rootpage FROM sqlite_master WHERE name='feedback'"
        ).fetchone()
        [size] = store.execute("PRAGMA page_size").fetchone()
    with (data / "manicule.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    code, _, wrong = manicule(tmp_path, "backup", "new.db", "--data-dir", str(data))
    assert code == 3, wrong
    assert not list(tmp_path.glob("new.db*"))


async def test_a_dump_of_postgresql_is_restored_with_all_that_was_acked(
    server, postgres_server, tmp_path
):
    database = await asyncio.to_thread(postgres_server)
    dump = tmp_path / "manicule.dump"
    address = ["--host", "127.0.0.1", "--port", str(database.port), "--username", SUPERUSER]

    def run(name, *words):
        done = subprocess.run(
            [program(name), *address, *words], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    first = await asyncio.to_thread(server, None, store=database.url, secret_key="k" * 32)
    judge, before = await judged_while(
        first, lambda: run("pg_dump", "--format=custom", f"--file={dump}", "postgres")
    )
    first.kill()
    database.run("CREATE DATABASE restored TEMPLATE template0")
    await asyncio.to_thread(
        run, "pg_restore", "--exit-on-error", "--no-owner", "--dbname=restored", str(dump)
    )
    url = database.url_of("restored")
    code, said, _ = await asyncio.to_thread(manicule, tmp_path, "migrate", "--store", url)
    assert code == 0
    assert "needs nothing" in said, "a restored store is as new as the one that was copied"
    second = await asyncio.to_thread(server, None, store=url, secret_key="k" * 32)
    await check_restored(second, judge, before)


async def test_entries_of_a_lost_log_reach_the_store_from_its_file(server, redis_server, tmp_path):
    """A server without traffic on a copy of the old append-only file drains it."""
    options = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
    log = await asyncio.to_thread(redis_server, *options)
    first = await asyncio.to_thread(server, None, secret_key="k" * 32, log_url=log.url)
    store = first.folder / "data" / "manicule.db"
    event_id = str(uuid.uuid4())
    with closing(sqlite3.connect(store)) as holder:
        holder.execute("BEGIN IMMEDIATE")  # the store is away for the server
        async with open_client(first.url) as client:
            await client.ask(event_id="one")
            final = await client.final("one")
            facts = {"response_id": final["id"], "receipt": final["receipt"], "action": "accept"}
            await client.send("feedback.create", event_id=event_id, **facts)
            assert (await client.until("feedback.acknowledged"))["level"] == "logged"
        first.kill()
        log.kill()
    old = await asyncio.to_thread(redis_server, *options, start=False)
    shutil.copytree(log.folder, old.folder, dirs_exist_ok=True)
    await asyncio.to_thread(old.start)
    assert old.run("XLEN", "manicule:journal") > 0
    await asyncio.to_thread(
        server, None, "--data-dir", str(store.parent), secret_key="k" * 32, log_url=old.url
    )
    drained = lambda: old.run("XLEN", "manicule:journal") == 0  # noqa: E731
    await asyncio.to_thread(wait_until, drained, "an empty journal")
    with closing(sqlite3.connect(store)) as reader:
        [number] = reader.execute(
            "SELECT count(*) FROM feedback WHERE event_id = ?", (event_id,)
        ).fetchone()
    assert number == 1


def test_the_page_names_the_commands_that_are_tested():
    page = (Path(__file__).parents[2] / "docs" / "recovery.md").read_text("utf-8")
    for words in (
        "manicule backup ",
        "pg_dump --format=custom",
        "pg_restore --exit-on-error --no-owner",
    ):
        assert words in page
