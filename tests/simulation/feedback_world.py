"""Nodes that write judgements, the store and the journal they share, and clients that send."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from explorer import WALL_START_S
from feedback_rig import feedback
from judgements import uuid7
from obligations import Obligations
from simulated_places import Place
from simulated_world import Far, Wire, World

from protocol.errors import EventError
from server.feedback.drainer import Drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.storage.journal import JournalError, MemoryJournal
from server.storage.memory_store import MemoryStore
from server.storage.records import FeedbackRow
from server.storage.store import StoreUnavailableError

FAULTS_S = 8.0
"""How long the faults of a run last; after it everything is healed."""

CLIENT_PATIENCE_S = 2.0
"""After this long without an answer a client sends again, to any node."""

LIVENESS_S = 1.0
"""In a healed world a fresh judgement is acknowledged within this time."""

DRAINED_S = 40.0
"""In a healed world the journal is empty after this: longest pauses, idle times, and spare."""


def away() -> Exception:
    return StoreUnavailableError("no reply", code="08006")


class Node:
    """One process: a writer and a drainer, each with wires of its own."""

    def __init__(self, world: FeedbackWorld, number: int) -> None:
        self.place = Place(f"node-{number}")
        self.to_store = Wire(world.world, away)
        self.to_journal = Wire(world.world, lambda: JournalError("no reply"))
        self.counts: Counter[str] = Counter()
        self.alive = True
        self.fatal: str | None = None
        self._world = world
        store = Far(world.store, self.to_store)
        journal = Far(world.journal, self.to_journal) if world.journal else None
        loop, dice = world.world.loop, world.world.dice.random
        self.writer = Writer(
            store,
            journal=journal,
            clock=loop.time,
            wall_clock=self.wall_clock,
            dice=dice,
            on_event=self._count,
            on_fatal=self._die,
        )
        self.drainer = journal and Drainer(
            store,
            journal,
            consumer=self.place.name,
            wall_clock=self.wall_clock,
            dice=dice,
            on_event=self._count,
            on_fatal=self._die,
        )
        world.world.start(self.place, self._start(), f"start-{self.place.name}")

    def wall_clock(self) -> float:
        return WALL_START_S + self._world.world.loop.time() + self.place.skew_s

    async def _start(self) -> None:
        self.writer.start()
        if self.drainer:
            self.drainer.start()

    def _count(self, event: str) -> None:
        self.counts[event] += 1

    def _die(self, reason: str) -> None:
        self.fatal = reason

    def kill(self) -> None:
        self.alive = False
        self._world.world.kill(self.place)


class FeedbackWorld:
    """`nodes` processes, one store, one journal, and what the clients are owed."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 2,
        store: MemoryStore | None = None,
        with_journal: bool = True,
    ) -> None:
        self.world = World(seed)
        self.store = store or MemoryStore(_is_open=True)
        self.journal = MemoryJournal(clock=self.world.loop.time) if with_journal else None
        self.owed = Obligations()
        self.acks: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        self._events = itertools.count(1)
        self.nodes = [self.new_node() for _ in range(nodes)]

    def new_node(self) -> Node:
        return Node(self, next(self._numbers))

    def restart(self, node: Node) -> None:
        """Kill a node; another process takes its number of places."""
        node.kill()
        self.nodes[self.nodes.index(node)] = self.new_node()

    def row(self) -> FeedbackRow:
        """A judgement of this run: the same under the same seed."""
        number = next(self._events)
        return feedback(
            event_id=uuid7(int(WALL_START_S * 1000) + number, number),
            response_id=f"resp-{number}",
            received_at=int(WALL_START_S * 1000),
            payload_sha256=f"{number:064x}",
        )

    async def send(self, row: FeedbackRow, node: Node) -> None:
        """Send once and note what came back, if anything did."""
        self.owed.send(row)
        reply = self.world.loop.create_future()

        async def submit() -> None:
            try:
                outcome = await node.writer.submit(row)
            except EventError as error:
                outcome = error
            if not reply.done():
                reply.set_result(outcome)

        self.world.start(node.place, submit(), f"submit-{row.response_id}")
        try:
            async with asyncio.timeout(CLIENT_PATIENCE_S):
                outcome = await reply
        except TimeoutError:
            return
        if isinstance(outcome, Ack):
            self.owed.ack(row, outcome.level)
        else:
            self.owed.nack(row, outcome.code)

    async def client(self, judgements: int, pause_s: float) -> None:
        """Send judgements, each until it is acknowledged or refused for good."""
        for _ in range(judgements):
            row = self.row()
            while True:
                await self.send(row, self.world.dice.choice(self.nodes))
                if row not in self.owed.unanswered:
                    break
                await asyncio.sleep(self.world.dice.uniform(0, 0.2))
            await asyncio.sleep(self.world.dice.uniform(0, pause_s))

    def heal(self) -> None:
        """Every wire is whole and quick, every process that stood still has gone on."""
        self.world.note("heal")
        for node in self.nodes:
            for wire in (node.to_store, node.to_journal):
                wire.is_cut = False
                wire.lost_requests = wire.lost_replies = 0.0
                wire.delay_s = (0.0001, 0.002)

    async def settle(self) -> None:
        """After the faults: everything is answered, drained, and as it was acknowledged."""
        for node in self.nodes:
            await self._acks_at_once(node)
        if self.journal:
            await self.world.until(lambda: not self.journal._entries, DRAINED_S)
        verdict = await self.owed.settle(self.store)
        assert verdict, str(verdict)

    async def _acks_at_once(self, node: Node) -> None:
        row = self.row()
        await self.world.until(lambda: not node.writer.waiting, DRAINED_S)
        started = self.world.loop.time()
        await self.send(row, node)
        took_s = self.world.loop.time() - started
        assert row not in self.owed.unanswered, "a fresh judgement found no ack"
        assert took_s < LIVENESS_S, took_s
