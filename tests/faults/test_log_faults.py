"""The log Redis dies, hangs or loses replies while answers stream: they stream on."""

import asyncio
import itertools
import time

import pytest
from nodes import Nodes, sample
from reader import Reader
from rig import until
from toxics import BlackHole, LoseReply
from wire import DELTA, open_client

LOG = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")
STREAM = [{"text": "First "}, {"tokens": 150, "rate_per_s": 50}]
GAP_S = 2.0
"""Longest pause between two pieces of text: 0.25 s is promised, and a busy machine gets more."""


@pytest.fixture
def fleet(redis_server, tmp_path):
    redis = redis_server(*LOG)
    with Nodes(tmp_path, redis.port, script=STREAM) as made:
        made.redis = redis
        yield made


async def timed(reader, url):
    """Read the answer; the longest pause between two of its texts."""
    reading = asyncio.create_task(reader.read([url]))
    came = []
    while not reader.is_over:
        seen = len(reader.events)
        await reader.until_more(1)
        if any(event["type"] == DELTA for event in reader.events[seen:]):
            came.append(time.monotonic())
    await reading
    return max(after - before for before, after in itertools.pairwise(came))


def is_resumable(reader):
    return reader.events[0]["response"]["resumable"]


async def until_resumable(fleet, url, wanted):
    """Ask until an answer says so."""
    number = 0
    async with asyncio.timeout(30):
        while True:
            number += 1
            reader = Reader(f"Can number {number} be resumed, {wanted}?")
            reading = asyncio.create_task(reader.read([url]))
            await reader.until_more(1)
            found = is_resumable(reader)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if found is wanted:
                return
            await asyncio.sleep(0.1)


async def test_f31_the_log_dies_in_mid_stream_and_the_stream_goes_on(fleet):
    url = fleet.nodes[0].url
    reader = Reader("What if the log dies?")
    streaming = asyncio.create_task(timed(reader, url))
    await reader.until_text()
    assert is_resumable(reader)
    async with open_client(url) as client:
        await asyncio.to_thread(fleet.redis.kill)
        await client.until(
            lambda e: e["type"] == "session.updated" and not e["session"]["resumable"]
        )
    gap = await streaming
    assert reader.final["status"] == "completed"
    assert reader.cuts == 0
    assert gap <= GAP_S
    print(f"longest pause {gap * 1000:.0f} ms")
    await until_resumable(fleet, url, False)
    await asyncio.to_thread(fleet.redis.start)
    await until_resumable(fleet, url, True)
    after = Reader("Is it resumed again?")
    reading = asyncio.create_task(after.read(fleet.urls))
    await after.until_text()
    fleet.proxies[0].reset_all()
    await reading
    assert after.final["status"] == "completed"
    assert "Traceback" not in fleet.log_text()


async def test_f32_the_log_hangs_and_no_answer_waits_for_it(fleet):
    url = fleet.nodes[0].url
    readers = [Reader(f"What if the log hangs, {number}?") for number in range(10)]
    streaming = [asyncio.create_task(timed(reader, url)) for reader in readers]
    for reader in readers:
        await reader.until_text()
    fleet.log.add(BlackHole())
    gaps = await asyncio.gather(*streaming)
    assert max(gaps) <= GAP_S
    assert all(reader.final["status"] == "completed" for reader in readers)
    assert all(reader.cuts == 0 for reader in readers)
    print(f"longest pause {max(gaps) * 1000:.0f} ms")
    began = time.monotonic()
    late = Reader("And one that is asked now?")
    reading = asyncio.create_task(late.read([url]))
    await late.until_text()
    assert time.monotonic() - began <= GAP_S
    fleet.log.clear()
    await reading
    await until_resumable(fleet, url, True)
    text = fleet.log_text()
    assert "MaxConnectionsError" not in text
    assert "Too many connections" not in text
    assert "Traceback" not in text


async def test_f33_a_lost_reply_of_the_log_repeats_nothing(fleet):
    """What was appended and not confirmed is appended again, and known to be there already."""
    here, there = Reader("Was it logged?"), Reader("Was it logged?")
    reading = asyncio.create_task(here.read([fleet.nodes[0].url]))
    await here.until_text()
    there.events = here.events[:1]
    following = asyncio.create_task(there.read([fleet.nodes[1].url]))
    await there.until_text()
    for _ in range(3):
        lost = fleet.log.lost_replies
        fleet.log.add(LoseReply(b"XADD"), towards="server")
        await until(lambda lost=lost: fleet.log.lost_replies > lost)
    await asyncio.gather(reading, following)
    assert here.final["status"] == "completed"
    assert here.epoch == there.epoch == 1
    assert here.events == there.events
    assert sample(fleet.nodes[0].url, "response_log_events_total", event="fenced") == 0
