"""A process near its memory limit refuses questions, lives, and takes them again."""

import asyncio
import os
import resource
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import httpx
from processes import wait_until
from rig import TERMINAL, WAIT_S
from wire import open_client

MIB = 2**20
SLOW = [{"text": "First "}, {"tokens": 100, "rate_per_s": 50}]


def address_space(target):
    """Bytes of address space that the process has."""
    pages = int((Path("/proc") / str(target.process.pid) / "statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def bound(target, limit_bytes):
    resource.prlimit(target.process.pid, resource.RLIMIT_AS, (limit_bytes, resource.RLIM_INFINITY))


def ready(target):
    reply = httpx.get(f"{target.url}/ready", trust_env=False, timeout=WAIT_S)
    return reply.status_code, reply.json()["dependencies"]["memory"]


async def judged(client, response_id):
    """The answer to a judgement."""
    event_id = str(uuid.uuid4())
    event = {"event_id": event_id, "response_id": response_id, "action": "accept"}
    await client.send("feedback.create", **event)
    return await client.until(
        lambda e: e.get("event_id") == event_id or e.get("error", {}).get("event_id") == event_id
    )


async def test_f83_near_the_limit_questions_are_refused_and_the_rest_goes_on(server):
    target = await asyncio.to_thread(server, SLOW)
    await asyncio.to_thread(wait_until, lambda: "manuals_warmed" in target.log())
    async with open_client(target.url) as client:
        await client.ask(event_id="before")
        await client.until("response.output_text.delta")
        # As much room as it has, and not the tenth that it keeps for what already runs.
        bound(target, int(address_space(target) * 1.05))
        await asyncio.sleep(0.2)  # a reading is 0.1 s old at most
        await client.ask("Another?", event_id="refused")
        refused = await client.error("refused")
        assert refused["code"] == "overloaded"
        assert refused["retry_after_ms"] > 0
        status, memory = await asyncio.to_thread(ready, target)
        assert status == 503
        assert not memory["ok"]
        assert "address_space" in memory["detail"]
        await client.send("catalog.search", query="td")
        await client.until("catalog.results")
        final = await client.final("before")
        assert final["status"] == "completed"
        assert (await judged(client, final["id"]))["level"] == "committed"
        bound(target, resource.RLIM_INFINITY)
        await asyncio.sleep(0.2)
        await client.ask("And now?", event_id="after")
        assert (await client.final("after"))["status"] == "completed"
        assert (await asyncio.to_thread(ready, target))[0] == 200
    assert "Traceback" not in target.log()


async def settled(client, event_id):
    """What a question was met with: the id of its answer once that has ended, or None."""
    met = await client.until(
        lambda e: (
            (e["type"] == "response.created" and e.get("event_id") == event_id)
            or e.get("error", {}).get("event_id") == event_id
        )
    )
    if met["type"] == "error":
        assert met["error"]["code"] == "overloaded"
        return None
    response_id = met["response"]["id"]
    await client.until(lambda e: e["type"] in TERMINAL and e["response_id"] == response_id)
    return response_id


async def flood(target, number, begun=None):
    """Ask at length and judge what is answered; number of refused questions, acked judgements.

    `begun` is set when a first answer has begun.
    """
    async with open_client(target.url) as client:
        names = [f"q{one}" for one in range(8)]
        for name in names:
            await client.ask(f"Question {number} {name}? " + "x" * 3000, event_id=name)
        if begun is not None:
            await client.until("response.created")
            begun.set()
        answers = [await settled(client, name) for name in names]
        acks = [await judged(client, id_) for id_ in answers if id_]
        acked = [ack["event_id"] for ack in acks if ack["type"] == "feedback.acknowledged"]
        return answers.count(None), acked


async def test_f83_a_flood_at_the_limit_is_refused_and_loses_no_judgement(server):
    target = await asyncio.to_thread(server, SLOW, requests_per_minute="100000")
    await asyncio.to_thread(wait_until, lambda: "manuals_warmed" in target.log())
    async with asyncio.timeout(120):
        begun = asyncio.Event()
        early = asyncio.create_task(flood(target, 40, begun))  # judged when memory is short
        await begun.wait()
        bound(target, int((address_space(target) + MIB) / 0.9))
        outcomes = await asyncio.gather(early, *(flood(target, number) for number in range(40)))
    assert target.process.poll() is None
    assert sum(refused for refused, _ in outcomes) > 0
    acked = [event_id for _, ids in outcomes for event_id in ids]
    assert acked
    bound(target, resource.RLIM_INFINITY)
    async with open_client(target.url) as client:
        await asyncio.sleep(0.2)
        await client.ask("Is it alive?", event_id="alive")
        assert await settled(client, "alive")
    target.kill()
    with closing(sqlite3.connect(target.folder / "data" / "manicule.db")) as store:
        stored = [row[0] for row in store.execute("SELECT event_id FROM feedback")]
    assert set(acked) <= set(stored)
    assert len(stored) == len(set(stored))
