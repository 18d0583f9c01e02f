"""Readers that take nothing or little of a long answer: memory is bounded, the answer whole."""

import asyncio
import statistics
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from nodes import sample
from processes import wait_until
from reader import Reader
from stalled import read_event, stall
from toxic_proxy import Proxy
from toxics import Bandwidth
from wire import DELTA, open_client

KIB, MIB = 2**10, 2**20
# Far more than kernel and server may hold of it.
ENDLESS = [{"text": "First "}, {"text": "word " * 200_000}, {"text": "last"}]
# Ten times the longest answer of the default settings.
LONG = [{"text": "First "}, {"text": "word " * 13_000}, {"text": "last"}]
SHORT = [{"text": "First "}, {"tokens": 40, "rate_per_s": 20}]
SETTINGS = {
    "connections_per_address": "10000",
    "handshakes_per_minute": "1000000",
    "max_running_answers": "5000",
    "model_concurrency": "5000",
}


def unsent_bytes(port):
    """What the kernel holds of each connection to `port` and has not sent, largest first."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = [
        int(row[4].split(":")[0], 16) for row in rows if int(row[1].split(":")[1], 16) == port
    ]
    return sorted(queues, reverse=True)


def kernel_bytes():
    """Memory of all TCP sockets of the machine."""
    [line] = [one for one in Path("/proc/net/sockstat").read_text().splitlines() if "TCP:" in one]
    fields = line.split()
    return int(fields[fields.index("mem") + 1]) * 4096


def created(sock):
    """Read up to the beginning of the answer, and no further."""
    while True:
        event = read_event(sock)
        if event["type"] == "response.created":
            return event


async def test_f63_a_long_answer_that_nobody_reads_is_bounded_and_whole(server):
    target = await asyncio.to_thread(server, ENDLESS, slow_client_s="2", **SETTINGS)
    await asyncio.to_thread(wait_until, lambda: "manuals_warmed" in target.log())
    memory = target.rss_bytes()
    sock = await asyncio.to_thread(stall, target.port, "Who reads nothing?")
    with sock:
        first = await asyncio.to_thread(created, sock)
        began = time.monotonic()
        largest = 0

        def is_closed():
            nonlocal largest
            largest = max([largest, *unsent_bytes(target.port)])
            return sample(target.url, "slow_clients_total") == 1

        await asyncio.to_thread(wait_until, is_closed, "the closing of the slow client")
        assert time.monotonic() - began <= 10
        assert largest <= 256 * KIB
        reader = Reader(events=[first])
        await reader.read([target.url])
    assert reader.final["status"] == "completed"
    assert reader.text.startswith("First word")
    assert reader.text.endswith("last")
    assert target.rss_bytes() - memory <= 64 * MIB
    print(f"kernel {largest // KIB} KiB, process {(target.rss_bytes() - memory) // MIB} MiB more")


async def test_f64_many_who_do_not_read(server):
    await crowd(server, 60)


async def crowd(server, stalled):
    """So many stalled readers at once, and one who reads: memory, and that one's pace."""
    target = await asyncio.to_thread(server, LONG, slow_client_s="60", **SETTINGS)
    await asyncio.to_thread(wait_until, lambda: "manuals_warmed" in target.log())
    memory, kernel = target.rss_bytes(), kernel_bytes()
    with ExitStack() as stack:
        for _ in range(stalled):
            sock = stall(target.port, "One question for all?")
            stack.enter_context(sock)
        await asyncio.to_thread(
            wait_until, lambda: sample(target.url, "answers_running") == 0, "the answers", 120
        )
        more = {
            "process": target.rss_bytes() - memory,
            "kernel": max(0, kernel_bytes() - kernel),
        }
        assert sample(target.url, "connections") == stalled
        reader = await Reader("Who reads on?").read([target.url])
        assert reader.final["status"] == "completed"
    each = ", ".join(f"{name} {size / stalled / KIB:.0f}" for name, size in more.items())
    print(f"{stalled} stalled readers: {sum(more.values()) / MIB:.1f} MiB; KiB each: {each}")
    assert sum(more.values()) <= stalled * 200 * MIB / 500 + 32 * MIB  # and what any load needs


async def test_f65_a_reader_of_a_kilobyte_a_second_gets_all_of_it(server):
    target = await asyncio.to_thread(server, SHORT, slow_client_s="2", **SETTINGS)
    with Proxy(target.port) as proxy:
        proxy.add(Bandwidth(1000), towards="client")
        reader = await Reader("Who reads slowly?").read([proxy.url], 120)
        assert reader.final["status"] == "completed"
        assert len(reader.text.split()) == 41
    assert "Traceback" not in target.log()


async def test_f37_feedback_in_the_middle_of_a_long_answer(server):
    await talk(server, seconds=6, ping_interval_s="1")


async def talk(server, seconds, **settings):
    """One long answer on a socket that is used all the while and must not be taken for dead."""
    script = [{"text": "First "}, {"tokens": 20 * seconds, "rate_per_s": 20}]
    longest = str(seconds * 3 + 60)
    target = await asyncio.to_thread(server, script, answer_timeout_s=longest, **settings)
    judged = await Reader("What is judged?").read([target.url], seconds * 3 + 60)
    async with open_client(target.url) as client:
        await client.ask("What takes long?", event_id="long")
        await client.until(lambda e: e["type"] == DELTA)
        took, number = [], 0

        def is_over():
            return any(e["type"] == "response.completed" for e in client.seen)

        while not is_over():
            event_id, began = str(uuid.uuid4()), time.monotonic()
            event = {"event_id": event_id, "action": "accept", "response_id": judged.response_id}
            await client.send("feedback.create", **event)
            ack = await client.until(lambda e, id_=event_id: e.get("event_id") == id_)
            assert ack["type"] == "feedback.acknowledged"
            took.append(time.monotonic() - began)
            number += 1
            seen = len(client.seen)
            while len(client.seen) < seen + 10 and not is_over():
                await client.next()
        final = await client.final("long")
    assert final["status"] == "completed"
    assert len(final["output_text"].split()) == 20 * seconds + 1
    assert number >= seconds // 2
    print(
        f"{number} judgements, acknowledged after {statistics.median(took) * 1000:.1f} ms (median)"
    )
    assert statistics.median(took) <= 0.1
