"""Notices from several nodes to one endpoint: each arrives, whatever becomes of nodes."""

import asyncio
from collections import Counter

from explorer import WALL_START_S
from judgements import judgement, uuid7
from simulated_places import Place
from simulated_world import Far, Wire, World

from server.storage.memory_store import MemoryStore
from server.storage.store import StoreUnavailableError
from server.webhooks.delivering import LOAN_MS, Deliverer
from server.webhooks.endpoints import Endpoint
from server.webhooks.notices import Announcements
from server.webhooks.sending import Reply

NOTICES = 12
FAULTS_S = 20.0
DELIVERED_S = 1200.0
"""In a healed world every notice has arrived by then: the longest pauses of four attempts."""


class Fleet:
    """Nodes that empty one outbox, and the endpoint that they send to."""

    def __init__(self, seed, nodes):
        self.world = World(seed)
        self.endpoint = Endpoint("a", "https://hooks.example.com", (b"key",), ("feedback.created",))
        self.store = MemoryStore(announcer=Announcements((self.endpoint,)), _is_open=True)
        self.arrived = Counter()
        self.status = 200
        self.lost = 0.0
        self.nodes = [self._node(number) for number in range(nodes)]

    def _node(self, number):
        world, place = self.world, Place(f"node-{number}")
        wire = Wire(world, lambda: StoreUnavailableError("no reply", code="08006"))
        deliverer = Deliverer(
            Far(self.store.outbox, wire),
            (self.endpoint,),
            self._send,
            wall_clock=lambda: WALL_START_S + world.loop.time(),
            dice=world.dice.random,
        )

        async def start():
            deliverer.start()

        world.start(place, start(), place.name)
        return place, wire

    async def _send(self, endpoint, message_id, body, *, now_s):
        await asyncio.sleep(self.world.dice.uniform(0.001, 3.0))
        status = self.status
        if status == 200:
            self.arrived[message_id] += 1
        await asyncio.sleep(self.world.dice.uniform(0.0, 0.5))
        if self.world.chance(self.lost):
            return Reply(problem="timeout")
        return Reply(status)

    async def judge(self, longest_pause_s):
        """Store judgements, each with its notice."""
        now_ms = int(WALL_START_S * 1000)
        for number in range(NOTICES):
            await self.store.write([judgement(event_id=uuid7(now_ms, number), received_at=now_ms)])
            await asyncio.sleep(self.world.dice.uniform(0, longest_pause_s))

    async def delivered(self):
        """Wait until the outbox is empty."""
        await self.world.until(lambda: not self.store.outbox._kept, DELIVERED_S)
        assert len(self.arrived) == NOTICES


def test_each_notice_is_sent_by_one_node_once(explore):
    async def scenario(seed):
        fleet = Fleet(seed, nodes=3)
        await fleet.judge(1.0)
        await fleet.delivered()
        assert set(fleet.arrived.values()) == {1}

    explore(scenario, 20)


async def nodes_die(seed):
    fleet = Fleet(seed, nodes=4)
    world, dice = fleet.world, fleet.world.dice
    judging = asyncio.create_task(fleet.judge(FAULTS_S / NOTICES))
    killed = dice.sample(fleet.nodes, 2)
    end = world.loop.time() + FAULTS_S
    while world.loop.time() < end:
        await asyncio.sleep(dice.uniform(0, 4))
        place, wire = dice.choice(fleet.nodes)
        wire.lost_replies = dice.choice((0.0, 0.5, 1.0))
        fleet.status, fleet.lost = dice.choice((200, 200, 503)), dice.choice((0.0, 0.3))
        if killed and world.chance(0.3):
            world.kill(killed.pop()[0])
        elif world.chance(0.2) and not place.stopped:
            await world.pause(place, dice.uniform(1, LOAN_MS / 1000))
    fleet.status, fleet.lost = 200, 0.0
    for _, wire in fleet.nodes:
        wire.lost_replies = 0.0
    await judging
    await fleet.delivered()


def test_each_notice_arrives_whatever_becomes_of_nodes_and_replies(explore):
    explore(nodes_die, 8)
