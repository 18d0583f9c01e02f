"""The same faults at night's length: `make test-faults-long`, sizes in `scale.py`.

Deselected in the ordinary run by their mark.
"""

import asyncio
import random
import time

import pytest
import scale
from nodes import Nodes, open_files, sample
from reader import Reader
from test_resume import LOG, WORDS, check_cuts
from test_rolling import judge, nodes, roll_all, settle, storm
from test_slow_readers import crowd, talk
from toxics import Bandwidth, BlackHole, Latency, LimitData, ResetPeer, Slicer

from server.storage.redis_opening import MAX_CONNECTIONS

__all__ = ["nodes"]  # the fixture
pytestmark = pytest.mark.long

MIB = 2**20
WARM_SHARE = 0.2
"""Of the soak, in which caches fill and pools grow: memory is compared after it."""


async def test_f24_at_every_place(redis_server, tmp_path):
    redis = redis_server(*LOG)
    with Nodes(tmp_path, redis.port, script=WORDS) as fleet:
        await check_cuts(fleet, scale.CUTS)


async def test_f26_killed_under_many_streams(nodes):
    """The node that writes all of them dies; each goes on at the other, anew, to its end."""
    script = [{"text": "First "}, {"tokens": 150, "rate_per_s": 10}]
    settings = {"max_running_answers": "5000", "model_concurrency": "5000"}
    fleet = await asyncio.to_thread(nodes, 2, script=script, **settings)
    readers = [Reader(f"Who goes on with {number}?") for number in range(scale.CLIENTS)]
    reading = [asyncio.create_task(reader.read(fleet.urls, 300)) for reader in readers]
    await asyncio.gather(*(reader.until_text() for reader in readers))
    fleet.nodes[0].kill()
    await asyncio.gather(*reading)
    for reader in readers:
        assert reader.final["status"] == "completed"
        assert reader.epoch == 2
        assert len(reader.text.split()) == 151
    anew = sorted(reader.anew_s for reader in readers)
    print(f"{len(readers)} answers go on after {anew[len(anew) // 2]:.1f} s, last {anew[-1]:.1f} s")


async def test_f36_a_storm_of_clients(nodes):
    await storm(nodes, scale.STORM)


async def test_f37_a_minute_of_answer(server):
    await talk(server, seconds=60)


async def test_f64_a_crowd_that_does_not_read(server):
    await crowd(server, scale.STALLED)


async def test_f78_replaced_again_and_again_under_many_clients(nodes, obligations):
    await roll_all(nodes, obligations, clients=scale.CLIENTS, rolls=scale.ROLLS)


class Weather:
    """Toxics that come and go on all ways to the nodes and to the log, drawn from a seed."""

    def __init__(self, fleet, seed):
        self.fleet = fleet
        self.dice = random.Random(seed)

    def toxic(self):
        dice = self.dice
        return dice.choice(
            [
                Latency(dice.uniform(0, 0.3), dice.uniform(0, 0.1)),
                Bandwidth(dice.randrange(2_000, 200_000)),
                Slicer(dice.randrange(1, 500), dice.uniform(0, 0.005)),
                BlackHole(dice.uniform(0.1, 2)),
                LimitData(dice.randrange(100, 20_000), dice.choice(["close", "reset"])),
                ResetPeer(dice.uniform(0, 1)),
            ]
        )

    async def blow(self, until_s):
        while time.monotonic() < until_s:
            proxy = self.dice.choice([*self.fleet.proxies, self.fleet.log])
            kind = self.dice.random()
            if kind < 0.1:
                proxy.reset_all()
            else:
                proxy.add(self.toxic(), towards=self.dice.choice(["client", "server", None]))
            await asyncio.sleep(self.dice.uniform(0.2, 3))
            proxy.clear()
            await asyncio.sleep(self.dice.uniform(0, 2))


async def test_f86_an_hour_of_weather(nodes, obligations):
    """Answers and judgements through random faults: nothing is lost and nothing grows."""
    fleet = await asyncio.to_thread(
        nodes, 2, script=WORDS, resume_s="30", answer_ttl_s="30", warm_manuals="0"
    )
    seconds = scale.MINUTES * 60
    began = time.monotonic()
    end = began + seconds
    weather = asyncio.create_task(Weather(fleet, scale.SEED).blow(end))
    answers = unknown = 0

    async def use(client):
        nonlocal answers, unknown
        dice = random.Random(f"{scale.SEED} {client}")
        urls = fleet.urls[client % 2 :] + fleet.urls[: client % 2]
        number = 0
        while time.monotonic() < end:
            number += 1
            reader = Reader(f"What does {client} ask as {number}?", patient=True)
            await reader.read(urls, 300)
            unknown += "response_not_found" in reader.refused
            assert reader.final["status"] == "completed"
            answers += 1
            if dice.random() < 0.3:
                await judge(obligations, urls, reader.final, f"{client} {number}")
            await asyncio.sleep(dice.uniform(0, 2))

    users = [asyncio.create_task(use(client)) for client in range(scale.CLIENTS)]
    await asyncio.sleep(seconds * WARM_SHARE)
    warm = [node.rss_bytes() for node in fleet.nodes]
    files = [open_files(node) for node in fleet.nodes]
    tasks = [sample(node.url, "tasks") for node in fleet.nodes]
    warm_at = time.monotonic()
    await asyncio.gather(weather, *users)
    hours = (time.monotonic() - warm_at) / 3600
    slopes = [
        (node.rss_bytes() - before) / MIB / hours
        for node, before in zip(fleet.nodes, warm, strict=True)
    ]
    growth = ", ".join(f"{slope:.1f}" for slope in slopes)
    now = [open_files(node) for node in fleet.nodes]
    print(f"{answers} answers, {unknown} not found at first")
    print(f"MiB an hour: {growth}; files {files} then {now}")
    for number, node in enumerate(fleet.nodes):
        # The clients are gone by now. Connections to the log are opened as they are needed.
        assert open_files(node) <= files[number] + MAX_CONNECTIONS
        assert sample(node.url, "tasks") <= tasks[number]
        assert sample(node.url, "connections") == 0
        assert sample(node.url, "answers_running") == 0
    assert await settle(obligations, fleet) > 0
    text = fleet.log_text()
    assert "Traceback" not in text
    assert "never retrieved" not in text
    if hours >= 0.5:  # a shorter run measures the filling of caches
        assert max(slopes) <= 1
