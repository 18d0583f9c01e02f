"""Nodes are told to go, killed while they go, and replaced one after the other under load."""

import asyncio
import contextlib
import itertools
import signal
import time

import httpx
import pytest
from feedback_rig import uuid7
from nodes import Nodes
from reader import CUT, Reader
from rig import WAIT_S
from stalled import stall
from wire import open_client

from server.storage.records import FeedbackRow
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter

LOG = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
ANSWER = [{"text": "First "}, {"tokens": 60, "rate_per_s": 40}]
EXIT_S = 28
"""Drain of 25 s and three for the closing of sockets."""


@pytest.fixture
def nodes(redis_server, tmp_path):
    """Makes a fleet: `nodes(3, script=...)`."""
    with contextlib.ExitStack() as stack:

        def make(number, **options):
            redis = redis_server(*LOG)
            return stack.enter_context(Nodes(tmp_path, redis.port, number, **options))

        yield make


def plain(row):
    """What a client said and what names it, without what the server adds."""
    return FeedbackRow(
        event_id=row.event_id, response_id=row.response_id, action=row.action, comment=row.comment,
        received_at=0, payload_sha256="", tenant=row.tenant,
    )  # fmt: skip


async def judge(obligations, urls, final, comment):
    """Judge an answer wherever somebody takes it, the same event again until it is answered."""
    event = {"event_id": uuid7(), "response_id": final["id"], "action": "accept"}
    row = FeedbackRow(**event, comment=comment, received_at=0, payload_sha256="")
    obligations.send(row)
    for url in itertools.cycle(urls):
        with contextlib.suppress(*CUT):
            async with asyncio.timeout(5), open_client(url) as client:
                await client.send(
                    "feedback.create", **event, comment=comment, receipt=final["receipt"]
                )
                told = await client.until(
                    lambda e: (
                        e.get("event_id") == event["event_id"]
                        or e.get("error", {}).get("event_id") == event["event_id"]
                    )
                )
                if told["type"] == "feedback.acknowledged":
                    obligations.ack(row, told["level"])
                    return
                assert told["error"]["retryable"], told
        await asyncio.sleep(0.02)


async def settle(obligations, fleet):
    """Compare with the store of the fleet."""
    store = SqliteStore(fleet.folder / "store.db")
    await store.open()
    rows = [plain(one.feedback) async for one in store.judged(Filter(""))]
    await store.aclose()
    verdict = obligations.judge(rows)
    assert verdict, str(verdict)
    return len(rows)


async def test_f77_fifty_answers_and_five_who_do_not_read(nodes, obligations):
    fleet = await asyncio.to_thread(nodes, 2, script=ANSWER)
    leaving = fleet.nodes[0]
    first = await Reader("What is judged?").read(fleet.urls)
    with contextlib.ExitStack() as stalled:
        for number in range(5):
            stalled.enter_context(
                await asyncio.to_thread(stall, leaving.port, f"Stalled {number}?")
            )
        readers = [Reader(f"Will {number} be whole?") for number in range(50)]
        reading = [asyncio.create_task(reader.read(fleet.urls)) for reader in readers]
        await asyncio.gather(*(reader.until_text() for reader in readers))
        await judge(obligations, fleet.urls[:1], first.final, "before it goes")
        began = time.monotonic()
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
            leaving.signal()
            status = 200
            while status == 200:
                status = (await http.get(f"{leaving.url}/ready")).status_code
            told_s = time.monotonic() - began
        assert status == 503
        code = await asyncio.to_thread(leaving.wait)
        took = time.monotonic() - began
        await asyncio.gather(*reading)
    assert code == 0
    assert took <= EXIT_S
    for reader in readers:
        assert reader.final["status"] == "completed"
        assert reader.final["finish_reason"] == "stop"
        assert reader.epoch == 1
    assert await settle(obligations, fleet) == 1
    assert "Traceback" not in fleet.log_text()
    print(f"not ready after {told_s * 1000:.0f} ms, gone after {took:.1f} s")


async def test_f77_what_outlasts_the_drain_goes_on_elsewhere(nodes):
    """The drain is shorter than the answer: the position is handed over, the text is not cut."""
    script = [{"text": "First "}, {"tokens": 60, "rate_per_s": 20}]
    fleet = await asyncio.to_thread(nodes, 2, script=script, drain_s="0.5")
    readers = [Reader(f"Who goes on with {number}?") for number in range(5)]
    reading = [asyncio.create_task(reader.read(fleet.urls)) for reader in readers]
    await asyncio.gather(*(reader.until_text() for reader in readers))
    fleet.nodes[0].signal()
    assert await asyncio.to_thread(fleet.nodes[0].wait) == 0
    await asyncio.gather(*reading)
    for reader in readers:
        assert reader.final["status"] == "completed"
        assert len(reader.text.split()) == 61


async def test_f79_killed_while_it_drains(nodes, obligations):
    fleet = await asyncio.to_thread(nodes, 2, script=ANSWER)
    first = await Reader("What is judged?").read(fleet.urls)
    readers = [Reader(f"Who finishes {number}?") for number in range(10)]
    reading = [asyncio.create_task(reader.read(fleet.urls)) for reader in readers]
    await asyncio.gather(*(reader.until_text() for reader in readers))
    judging = [judge(obligations, fleet.urls[:1], first.final, str(n)) for n in range(10)]
    await asyncio.gather(*judging)
    fleet.nodes[0].signal()
    fleet.nodes[0].signal(signal.SIGKILL)
    await asyncio.to_thread(fleet.nodes[0].wait)
    await asyncio.gather(*reading)
    assert all(reader.final["status"] == "completed" for reader in readers)
    assert await settle(obligations, fleet) == 10


async def test_f78_each_node_is_replaced_once_under_clients(nodes, obligations):
    await roll_all(nodes, obligations, clients=12, rolls=1)


async def roll_all(nodes, obligations, *, clients, rolls, number=3):
    """Replace all nodes one after the other, `rolls` times, while clients ask and judge."""
    fleet = await asyncio.to_thread(nodes, number, script=ANSWER)
    ended = asyncio.Event()
    readers = []

    async def use(client):
        urls = fleet.urls[client % number :] + fleet.urls[: client % number]
        for asked in itertools.count():
            if ended.is_set():
                return
            reader = Reader(f"What does {client} ask as number {asked}?")
            readers.append(reader)
            await reader.read(urls)
            await judge(obligations, urls, reader.final, f"{client} {asked}")

    users = [asyncio.create_task(use(client)) for client in range(clients)]
    try:
        for _ in range(rolls):
            for node in range(number):
                code = await asyncio.to_thread(fleet.roll, node)
                assert code == 0
    finally:
        ended.set()
    await asyncio.gather(*users)
    for reader in readers:
        assert reader.final["status"] == "completed"
        assert reader.epoch == 1
    assert {code for reader in readers for code in reader.refused} <= {"draining"}
    assert await settle(obligations, fleet) == len(readers)
    assert "Traceback" not in fleet.log_text()
    gaps = sorted(gap for reader in readers for gap in reader.gaps_s)
    cuts = sum(reader.cuts for reader in readers)
    p99 = f", read on after {gaps[int(len(gaps) * 0.99)] * 1000:.0f} ms (p99)" if gaps else ""
    print(f"{len(readers)} answers, {cuts} cuts{p99}")


async def test_f36_all_clients_are_cut_at_once(nodes):
    await storm(nodes, 60)


async def storm(nodes, clients):
    """Cut all clients of one node in mid-answer; they come back to the other one."""
    script = [{"text": "First "}, {"tokens": 120, "rate_per_s": 15}]
    settings = {"max_running_answers": "5000", "model_concurrency": "5000"}
    fleet = await asyncio.to_thread(nodes, 2, script=script, **settings)
    readers = [Reader(f"Who is {number} in the storm?") for number in range(clients)]
    reading = [asyncio.create_task(reader.read(fleet.urls, 300)) for reader in readers]
    await asyncio.gather(*(reader.until_text() for reader in readers))
    fleet.proxies[0].reset_all()
    await asyncio.gather(*reading)
    for reader in readers:
        assert reader.final["status"] == "completed"
        assert reader.epoch == 1
        assert reader.cuts == 1
    assert fleet.total("upstream_attempts_total") == clients
    gaps = sorted(reader.gaps_s[0] for reader in readers)
    print(
        f"{clients} clients read on: p50 {gaps[len(gaps) // 2] * 1000:.0f} ms, "
        f"p99 {gaps[int(len(gaps) * 0.99)] * 1000:.0f} ms, last {gaps[-1] * 1000:.0f} ms; "
        f"refused meanwhile: {sum(len(reader.refused) for reader in readers)}"
    )
