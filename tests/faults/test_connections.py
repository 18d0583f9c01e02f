"""Connections that are half open, and more of them than the process may hold."""

import asyncio
import resource
import socket
import sqlite3
import time
import uuid
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from processes import wait_until
from rig import WAIT_S
from toxic_proxy import Proxy
from toxics import BlackHole
from websockets.exceptions import InvalidHandshake
from wire import DELTA, open_client

FLOWING = [{"text": "First "}, {"tokens": 40, "rate_per_s": 20}]
FILES = 256
PING_S = 1


def sample(url, name):
    text = httpx.get(f"{url}/metrics", trust_env=False, timeout=WAIT_S).text
    [line] = [one for one in text.splitlines() if one.startswith(f"manicule_{name} ")]
    return float(line.split()[1])


@pytest.fixture(scope="module")
def target(server):
    return server(FLOWING, ping_interval_s=str(PING_S))


async def test_f66_a_client_that_vanished_without_a_word_is_found_by_ping(target):
    """Neither end of the connection is told: only an unanswered ping says that nobody is there."""
    with Proxy(target.port) as proxy:
        async with open_client(proxy.url) as lost, open_client(target.url) as bystander:
            await lost.ask("Is anybody there?", event_id="lost")
            await lost.until(lambda e: e["type"] == DELTA)
            assert sample(target.url, "connections") == 2
            proxy.add(BlackHole())
            began = time.monotonic()
            await asyncio.to_thread(
                wait_until, lambda: sample(target.url, "connections") == 1, "the end of the socket"
            )
            assert time.monotonic() - began <= 30
            await bystander.ask("Is it still there?", event_id="q")
            assert (await bystander.final("q"))["status"] == "completed"
            proxy.clear()
            await lost.closed()
    assert "Traceback" not in target.log()


def cpu_s(target):
    """Processor time that the process has used."""
    fields = (
        (Path("/proc") / str(target.process.pid) / "stat").read_text().rsplit(")", 1)[1].split()
    )
    return (int(fields[11]) + int(fields[12])) / 100


def open_files(target):
    return len(list((Path("/proc") / str(target.process.pid) / "fd").iterdir()))


async def judge(client, response_id):
    """A judgement; its id once that is acknowledged."""
    event_id = str(uuid.uuid4())
    event = {"event_id": event_id, "response_id": response_id, "action": "accept"}
    await client.send("feedback.create", **event)
    ack = await client.until(lambda e: e.get("event_id") == event_id)
    assert ack["type"] == "feedback.acknowledged"
    return event_id


async def test_f82_out_of_file_descriptors_it_waits_without_spinning_and_recovers(server):
    target = await asyncio.to_thread(server, FLOWING)
    await asyncio.to_thread(wait_until, lambda: "manuals_warmed" in target.log())
    resource.prlimit(target.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    async with open_client(target.url) as client:
        await client.ask("Before?", event_id="before")
        acked = [await judge(client, (await client.final("before"))["id"])]
        with ExitStack() as flood:
            for _ in range(2 * FILES):
                sock = flood.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", target.port))
            await asyncio.to_thread(
                wait_until, lambda: open_files(target) >= FILES - 8, "the last descriptor"
            )
            used, began = cpu_s(target), time.monotonic()
            await client.ask("In the flood?", event_id="during")
            final = await client.final("during")  # lasts two seconds
            assert final["status"] == "completed"
            acked.append(await judge(client, final["id"]))
            share = (cpu_s(target) - used) / (time.monotonic() - began)
            assert share < 0.5, f"{share:.0%} of a processor while nothing can be accepted"
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    async with open_client(target.url) as after:
                        await after.ask("After?", event_id="after")
                        final = await after.final("after")
                        acked.append(await judge(after, final["id"]))
                        break
                except (OSError, InvalidHandshake):  # libuv, out of descriptors, hangs up
                    await asyncio.sleep(0.05)
    assert "Traceback" not in target.log()
    target.kill()
    with closing(sqlite3.connect(target.folder / "data" / "manicule.db")) as store:
        stored = [row[0] for row in store.execute("SELECT event_id FROM feedback")]
    assert sorted(stored) == sorted(acked)
