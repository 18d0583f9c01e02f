"""Clients that send as much as they can, to a real server."""

import json
import os
import threading
from pathlib import Path

import httpx
import pytest
from processes import wait_until
from test_socket_frames import CONT, PING, TEXT, Raw, frame
from wire import open_client

MIB = 2**20
HEARTBEAT = frame(json.dumps({"type": "ping"}).encode())
SEARCH = frame(json.dumps({"type": "catalog.search", "query": "zzzz"}).encode())
FLOODS = {
    "messages": (b"", HEARTBEAT),
    "searches": (b"", SEARCH),
    "pings": (b"", frame(b"", PING)),
    "pings of the largest size": (b"", frame(b"a" * 125, PING)),
    "unasked pongs": (b"", frame(b"", 0xA)),
    "empty continuation frames": (frame(b"{", TEXT, fin=False), frame(b"", CONT, fin=False)),
}
MANY = 100_000  # frames under way at a time; three million would be thirty of these


@pytest.fixture(scope="module")
def target(server):
    target = server([{"tokens": 40, "rate_per_s": 50}])
    wait_until(lambda: "manuals_warmed" in target.log(), "the end of the warming")
    return target


def cpu_s(target):
    """Processor time that the server has used."""
    fields = (Path("/proc") / str(target.process.pid) / "stat").read_text().rsplit(")")[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def closed_for_rate(target):
    text = httpx.get(f"{target.url}/metrics", trust_env=False).text
    wanted = 'manicule_connections_closed_total{code="4429"} '
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(wanted))


class Flood(threading.Thread):
    """Sends the same frame for as long as the server takes it."""

    def __init__(self, raw, first, again):
        super().__init__()
        self.socket, self.first, self.block = raw.socket, first, again * MANY
        self.sent_bytes = 0

    def run(self):
        try:
            self.socket.sendall(self.first)
            while True:
                self.sent_bytes += self.socket.send(self.block)
        except OSError:
            return  # the server has closed, which is what is looked at


@pytest.mark.parametrize("name", FLOODS)
async def test_f70_a_flood_is_closed_and_costs_nobody_else(target, name):
    first, again = FLOODS[name]
    async with open_client(target.url) as bystander:
        await bystander.ask(f"Beside a flood of {name}?", event_id="q")
        await bystander.until("response.output_text.delta")
        before, cpu, memory = closed_for_rate(target), cpu_s(target), target.rss_bytes()
        with Raw(target.port) as raw:
            flood = Flood(raw, first, again)
            flood.start()
            assert raw.close_code() == 4429
            flood.join()
        assert (await bystander.final("q"))["status"] == "completed"
        assert closed_for_rate(target) == before + 1
        # Less than a second of work even of one core, the answer beside it included: were it
        # more, the flood could not have been closed within a second.
        assert cpu_s(target) - cpu < 1.0
        assert target.rss_bytes() - memory <= 8 * MIB


async def test_f70_after_a_flood_the_processor_is_free(target):
    with Raw(target.port) as raw:
        flood = Flood(raw, b"", HEARTBEAT)
        flood.start()
        assert raw.close_code() == 4429
        cpu = cpu_s(target)
        flood.join()  # it sends on until the connection is gone
        assert cpu_s(target) - cpu <= 0.1


async def test_f70_a_lively_client_is_not_taken_for_a_flood(target):
    async with open_client(target.url) as client:
        for number in range(1000):  # a person types ten characters a second
            await client.send("catalog.search", query=f"td {number % 10}", event_id=f"s{number}")
        await client.until(lambda e: e.get("event_id") == "s999")
        await client.ask("Still there?", event_id="q")
        assert (await client.final("q"))["status"] == "completed"


async def test_f70_the_limit_is_a_setting(server):
    strict = server(max_frames_per_s="20")
    with Raw(strict.port) as raw:
        raw.send(HEARTBEAT * 10)
        for _ in range(10):
            assert json.loads(raw.read()[1])["type"] == "pong"
        raw.send(HEARTBEAT * 30)
        assert raw.close_code() == 4429
