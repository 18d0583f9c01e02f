"""Deliveries by real processes over both stores: killed, doubled, to a receiver that is down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from feedback_rig import feedback, until
from receiver import OLD_SECRET, SECRET, Receiver, status
from wire import open_client

from server.storage.opening import open_store
from server.storage.outbox import Backlog
from server.webhooks.endpoints import Endpoint
from server.webhooks.notices import Announcements
from server.webhooks.signing import read_key

BOUND_S = 60.0
LONG_MS = 60_000


@pytest.fixture
async def receiver():
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/manicule.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def store(store_url):
    """The store that answers are judged in; its announcer tells endpoint `a` of all."""
    endpoint = Endpoint("a", "https://hooks.example.com", (read_key(SECRET),))
    made = open_store(store_url, now=time.time, announcer=Announcements([endpoint]))
    await made.open()
    yield made
    await made.aclose()


@asynccontextmanager
async def node(store_url, receiver, *, loan_ms=LONG_MS):
    """A delivering process, killed at the end if not before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "webhook_process.py"),
        *(store_url, str(loan_ms), f"a={receiver.url}"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BOUND_S):
            while await process.stdout.readline() != b"ready\n":  # logs come there too
                assert process.returncode is None
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def empty(store):
    await until(lambda: is_empty(store), BOUND_S)


async def is_empty(store):
    return (await store.backlog()) == Backlog()


async def test_a_node_killed_while_it_delivers_loses_nothing(store, store_url, receiver):
    receiver.answer = lambda request: None
    rows = [feedback() for _ in range(5)]
    await store.write(rows)
    async with node(store_url, receiver, loan_ms=1000) as killed:
        await until(lambda: len(receiver.requests) == 5, BOUND_S)
        killed.kill()
        await killed.wait()
    assert await store.backlog() == Backlog(waiting=5)
    receiver.answer = lambda request: status(204)
    async with node(store_url, receiver):
        await empty(store)
    first, again = receiver.requests[:5], receiver.requests[5:]
    assert sorted(one.id for one in first) == sorted(one.id for one in again)
    assert {one.event["data"]["event_id"] for one in again} == {row.event_id for row in rows}
    assert all(one.signed_with(SECRET) for one in receiver.requests)


async def test_a_receiver_that_is_down_for_a_while_gets_all_once(store, store_url, receiver):
    await receiver.stop()
    rows = [feedback() for _ in range(20)]
    async with node(store_url, receiver):
        await store.write(rows)
        await until(lambda: tried_twice(store), BOUND_S)
        [one] = await store.outbox.deliveries(1)
        assert one.error.startswith("no connection")
        await receiver.start()
        await empty(store)
    told = Counter(one.event["data"]["event_id"] for one in receiver.requests)
    assert told == Counter(row.event_id for row in rows)


async def tried_twice(store):
    return any(one.attempts >= 2 for one in await store.outbox.deliveries(100))


async def test_two_nodes_deliver_each_notice_once(store, store_url, receiver):
    rows = [feedback() for _ in range(300)]
    async with node(store_url, receiver) as one, node(store_url, receiver) as other:
        for start in range(0, len(rows), 30):
            await store.write(rows[start : start + 30])
        await empty(store)
        one.kill()
        other.kill()
        results = [(await each.communicate())[0] for each in (one, other)]
    told = Counter(request.event["data"]["event_id"] for request in receiver.requests)
    assert told == Counter(row.event_id for row in rows)
    assert all(b"a delivered" in said for said in results)


async def test_a_judgement_over_the_socket_reaches_the_endpoints(server, receiver, tmp_path):
    path = tmp_path / "webhooks.toml"
    path.write_text(
        f'[[endpoint]]\nname = "every"\nurl = "{receiver.url}/every"\n'
        f'[[endpoint]]\nname = "rejected"\nurl = "{receiver.url}/rejected"\n'
        f'secret = "{OLD_SECRET}"\nevents = ["answer.rejected"]\ncomments = true\n'
    )
    target = await asyncio.to_thread(
        server,
        webhooks=str(path),
        webhook_secret=SECRET,
        allow_http="true",
        allow_private_addresses="true",
    )
    async with open_client(target.url) as client:
        await client.ask("How do I reset it?", event_id="asked")
        final = await client.final("asked")
        judgement = {"event_id": str(uuid.uuid4()), "response_id": final["id"]}
        judgement |= {
            "action": "reject",
            "tags": ["tone_inappropriate"],
            "comment": "Vogelscheuche",
        }
        await client.send("feedback.create", **judgement)
        await client.until(lambda e: e["type"] in ("feedback.acknowledged", "error"))
        assert client.seen[-1]["type"] == "feedback.acknowledged", client.seen[-1]
    await until(lambda: len(receiver.requests) == 3, BOUND_S)
    by_path = {}
    for one in receiver.requests:
        by_path.setdefault(one.line.split()[1], []).append(one)
    assert {one.event["type"] for one in by_path["/hooks/every"]} == {
        "feedback.created",
        "answer.rejected",
    }
    assert all(one.signed_with(SECRET) for one in by_path["/hooks/every"])
    assert all(b"Vogelscheuche" not in one.body for one in by_path["/hooks/every"])
    [rejected] = by_path["/hooks/rejected"]
    assert rejected.signed_with(OLD_SECRET)
    data = rejected.event["data"]
    assert (data["comment"], data["tags"]) == ("Vogelscheuche", ["tone_inappropriate"])
    assert data["event_id"] == judgement["event_id"]
    assert b"How do I reset it?" not in b"".join(one.body for one in receiver.requests)
    logged = target.log()
    assert json.dumps(SECRET) not in logged
    assert "Vogelscheuche" not in logged
