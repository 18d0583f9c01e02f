"""One cold manual and many processes: who loads it, whatever becomes of whom."""

import asyncio
from dataclasses import replace

from explorer import WALL_START_S
from redis_twin import FarRedis, RedisTwin
from simulated_places import Place
from simulated_world import Far, Wire, World

from server.manuals.documents import Extracted, ManualError, ManualSource
from server.manuals.library import Library
from server.manuals.sources import Loaded
from server.storage.caches import open_caches
from server.storage.leases import RedisLeases
from server.storage.texts import MemoryTextCache

URL = ManualSource(url="https://vendor.example/manual.pdf")
PAGES = ("one", "two")
LONGEST_LOAD_S = 3.0
WAIT_S = 10.0


class Index:
    size_bytes = 1000

    def __init__(self, manual):
        pass


class Source:
    """The vendor's site and the reading of the PDF: slow, and counted.

    `dropped` has the places whose connections broke.
    """

    def __init__(self, world):
        self._world = world
        self.loading = []
        self.dropped = set()
        self.loads = 0

    def at(self, place):
        source = self

        class Loader:
            async def load(self, wanted, etag, on_progress):
                source.loads += 1
                source.loading.append(place)
                await asyncio.sleep(source._world.dice.uniform(0.2, LONGEST_LOAD_S))
                source.loading.remove(place)
                if place in source.dropped:
                    await asyncio.sleep(source._world.dice.uniform(0, 0.5))
                    raise ManualError("unreachable", "the connection broke")
                return Loaded(Extracted(PAGES), "v1")

        return Loader()


class Fleet:
    """Processes that share a cache and leases."""

    def __init__(self, seed, nodes):
        self.world = world = World(seed)
        self.source = Source(world)
        self.wall_clock = lambda: WALL_START_S + world.loop.time()
        self._texts = MemoryTextCache(10**7, self.wall_clock)
        self._redis = RedisTwin(world)
        self.nodes = [self._node(number) for number in range(nodes)]

    def _node(self, number):
        place = Place(f"node-{number}")
        redis = FarRedis(self._redis, self.world)
        library = Library(
            loader=self.source.at(place),
            build_index=Index,
            caches=replace(
                open_caches("", text_bytes=10**7, answer_bytes=10**6, now=self.wall_clock),
                texts=Far(self._texts, Wire(self.world, RuntimeError)),
                leases=RedisLeases(redis, clock=self.world.loop.time),
            ),
            max_bytes=10**7,
            ttl_s=3600,
            stale_s=3600,
            wait_s=WAIT_S,
            now=self.wall_clock,
            clock=self.world.loop.time,
        )
        return place, library, redis

    def ask(self, number):
        """A question about the manual at one node; returns its task."""
        place, library, _ = self.nodes[number]

        async def get():
            await asyncio.sleep(self.world.dice.uniform(0, 0.5))
            view = await library.get("x", URL)
            assert view.prepared is not None, view
            assert view.prepared.manual.text == "one\ftwo"
            return view.status

        return self.world.start(place, get(), f"ask-{number}")

    async def owner(self):
        """The place that loads, once one does."""
        await self.world.until(lambda: self.source.loading, 2.0)
        return self.source.loading[0]


async def answered(tasks):
    async with asyncio.timeout(WAIT_S + LONGEST_LOAD_S):
        return await asyncio.gather(*tasks)


async def one_load(seed):
    fleet = Fleet(seed, nodes=3)
    statuses = await answered([fleet.ask(number % 3) for number in range(30)])
    assert set(statuses) <= {"fetched", "cache", "memory"}
    assert fleet.source.loads == 1


def test_f56_many_processes_load_a_cold_manual_once(explore):
    explore(one_load)


async def owner_dies(seed):
    fleet = Fleet(seed, nodes=4)
    asks = [(number % 4, fleet.ask(number % 4)) for number in range(20)]
    owner = await fleet.owner()
    await asyncio.sleep(fleet.world.dice.uniform(0, LONGEST_LOAD_S))
    fleet.world.kill(owner)
    loads = fleet.source.loads
    await answered([task for number, task in asks if fleet.nodes[number][0] is not owner])
    assert fleet.source.loads <= loads + 1 <= 2


def test_f57_when_the_owner_dies_one_other_loads(explore):
    explore(owner_dies)


async def owner_stands_still(seed):
    """The owner stops for longer than its lease, while it loads, and goes on in vain or not."""
    fleet = Fleet(seed, nodes=4)
    asks = [(number % 4, fleet.ask(number % 4)) for number in range(20)]
    owner = await fleet.owner()
    pausing = asyncio.create_task(fleet.world.pause(owner, fleet.world.dice.uniform(5, 8)))
    if fleet.world.chance(0.5):
        fleet.source.dropped.add(owner)
    await answered([task for number, task in asks if fleet.nodes[number][0] is not owner])
    await pausing
    await asyncio.gather(*(task for _, task in asks), return_exceptions=True)
    assert fleet.source.loads <= 2


def test_f57_an_owner_that_stood_still_takes_nothing_from_its_heir(explore):
    explore(owner_stands_still)


def test_f55_without_replies_every_process_loads_for_itself_and_answers(explore):
    async def scenario(seed):
        fleet = Fleet(seed, nodes=3)
        for _, _, redis in fleet.nodes:
            redis.wire.lost_replies = fleet.world.dice.choice((0.3, 1.0))
        await answered([fleet.ask(number % 3) for number in range(12)])
        assert fleet.source.loads <= 3

    explore(scenario, 40)
