"""`manicule erase` on the files and the log of a server that runs."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import redis
from processes import wait_until
from reader import Reader

LOG = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
CANARY = "ada-the-canary"


def logged(url: str) -> str:
    """The questions of all answers in the log."""
    with redis.Redis.from_url(url) as client:
        streams = [client.xrange(key) for key in client.scan_iter("manicule:answer:*")]
    return repr([fields.get(b"q") for entries in streams for _, fields in entries])


def questions(path: Path) -> int:
    """How many questions a store has."""
    with closing(sqlite3.connect(path)) as store:
        return int(store.execute("SELECT count(*) FROM interactions").fetchone()[0])


async def test_the_log_forgets_answers_that_have_ended(server, redis_server):
    url = redis_server(*LOG).url
    running = server(None, log_url=url)
    for user in (CANARY, "somebody-else"):
        await Reader(f"What asks {user}?", fields={"user_id": user}).read([running.url])
    assert CANARY in logged(url)
    store = running.folder / "data" / "manicule.db"
    await asyncio.to_thread(
        wait_until, lambda: questions(store) == 2, "both questions in the store"
    )
    command = [sys.executable, "-m", "server", "erase", "--user", CANARY, "--yes", "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--data-dir", str(running.folder / "data")],
        cwd=running.folder,
        env={**os.environ, **running.variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    erased = json.loads(done.stdout)
    assert (erased["interactions"], erased["answers"]) == (1, 1)
    assert CANARY not in logged(url)
    assert "somebody-else" in logged(url)
