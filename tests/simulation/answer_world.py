"""Nodes that answer, what they share, and clients that ask, lose the connection and resume."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from rig import Rig, Source
from simulated_places import OUTSIDE, Place
from simulated_socket import SimulatedSocket
from simulated_world import Far, Wire, World, here
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from server.endpoints.handshake import socket_endpoint
from server.llm.port import Finish, TextDelta, Usage
from server.serving import Departure
from server.storage.fleet import MemoryFleet
from server.storage.response_log import LogError, MemoryResponseLog

GRACE_S = 30.0
"""An answer without readers goes on for so long."""

UVICORN_S = 0.05
"""After this long a server that shuts down cuts the sockets that are still open."""

LOGGED_S = 5.0
"""A log that was away has all events by then."""

LONGEST_S = 120.0
"""Every answer has ended for its client by then, whatever happened."""


@dataclass(eq=False)
class Call:
    """One call of the upstream model: what it said and how it ended."""

    number: int
    place: Place
    said: int = 0
    begun_at: float = 0.0
    ended_at: float | None = None


class Words:
    """A model that says its call's number and a count, so that texts of two calls never mix.

    One word is a tip, so that items are on their way too.
    """

    def __init__(self, world: World, words: int, pause_s: float) -> None:
        self.name = "words"
        self.calls: list[Call] = []
        self._world = world
        self._words = words
        self._pause_s = pause_s

    @property
    def running(self) -> list[Call]:
        """Calls whose stream is open."""
        return [call for call in self.calls if call.ended_at is None]

    def check_prefix(self, text: str) -> None:
        """Fail unless `text` is how one call's text begins."""
        assert not text or self._of_call(text).startswith(text), text

    def check_whole(self, text: str) -> None:
        """Fail unless `text` is all that one call said."""
        assert self._of_call(text) == text

    def _of_call(self, text: str) -> str:
        call = int(text.partition(".")[0])
        return "".join(f"{call}.{number} " for number in range(self._words))

    async def stream(self, request):
        call = Call(len(self.calls) + 1, here(), begun_at=self._world.loop.time())
        self.calls.append(call)
        try:
            for number in range(self._words):
                await asyncio.sleep(self._world.dice.uniform(0, 2 * self._pause_s))
                call.said += 1
                tip = "[PRO TIP: mind the gap]" if number == self._words // 2 else ""
                yield TextDelta(f"{tip}{call.number}.{number} ")
            yield Usage(10, self._words)
            yield Finish("stop")
        finally:
            call.ended_at = self._world.loop.time()

    async def check(self):
        """Always there."""

    async def aclose(self):
        """Nothing to give back."""


class AnswerNode:
    """One process with everything but the network."""

    def __init__(self, run: AnswerWorld, number: int) -> None:
        self.place = Place(f"node-{number}", booted_s=run.world.dice.uniform(0, 10**6))
        self.alive = True
        self.departing = False
        self.wire = Wire(run.world, lambda: LogError("no reply"), patience_s=0.5)
        self.rig = Rig(
            run.model,
            source=Source(),
            name=self.place.name,
            log=(Far(run.log, self.wire, known=("unfit",)), Far(run.fleet, self.wire)),
            grace_s=GRACE_S,
            timeout_s=LONGEST_S,
            answer_timeout_s=LONGEST_S,
        )
        self.app: Starlette | None = None
        self.ready = asyncio.Event()
        self._run = run
        run.world.start(self.place, self._live(), self.place.name)

    async def _live(self) -> None:
        async with self.rig as rig:
            self.app = Starlette(routes=[WebSocketRoute("/ws", socket_endpoint(rig.node))])
            self.ready.set()
            await asyncio.Event().wait()

    def depart(self, drain_s: float) -> None:
        """Get SIGTERM."""
        self.departing = True
        departure = Departure(self.rig.node, Uvicorn(self), drain_s)

        async def begin() -> None:
            departure.begin()

        self._run.world.start(self.place, begin(), "sigterm")

    def kill(self) -> None:
        """End the process; its sockets are reset."""
        self.alive = False
        self._run.world.kill(self.place)
        for socket in self._run.sockets.pop(self, []):
            socket.cut()


class Uvicorn:
    """What a departure tells when it is over: soon sockets are cut and the process ends."""

    force_exit = False

    def __init__(self, node: AnswerNode) -> None:
        self._node = node
        self._should_exit = False

    @property
    def should_exit(self) -> bool:
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        asyncio.get_running_loop().call_later(UVICORN_S, self._node.kill)


class AnswerWorld:
    """`nodes` processes that share a log, one upstream model, and clients."""

    def __init__(
        self, seed: int, *, nodes: int = 3, words: int = 40, pause_s: float = 0.03
    ) -> None:
        self.world = World(seed)
        self.model = Words(self.world, words, pause_s)
        self.log = MemoryResponseLog()
        self.fleet = MemoryFleet(self.world.loop.time)
        self.sockets: dict[AnswerNode, list[SimulatedSocket]] = {}
        self._numbers = itertools.count(1)
        self._pauses: list[asyncio.Task[None]] = []
        self.ever: list[AnswerNode] = []
        self.nodes = [self._new_node() for _ in range(nodes)]

    def _new_node(self) -> AnswerNode:
        node = AnswerNode(self, next(self._numbers))
        self.ever.append(node)
        return node

    async def connect(self, node: AnswerNode) -> SimulatedSocket:
        """A new connection to a node."""
        await node.ready.wait()
        socket = SimulatedSocket(self.world, node.place, node.app)
        self.sockets.setdefault(node, []).append(socket)
        return socket

    def living(self) -> list[AnswerNode]:
        """The nodes that may be connected to."""
        return [node for node in self.nodes if node.alive and not node.departing]

    def elsewhere(self, node: AnswerNode | None) -> AnswerNode:
        """Another node than this one, if there is any."""
        others = [one for one in self.living() if one is not node]
        return self.world.dice.choice(others or self.living())

    def restart(self, node: AnswerNode) -> None:
        """Kill a node; a new process starts."""
        node.kill()
        self.nodes[self.nodes.index(node)] = self._new_node()

    def pausing(self, node: AnswerNode, seconds: float) -> None:
        """Let a node stand still for a while, and go on with the scenario meanwhile."""
        if not node.place.stopped:
            pause = self.world.pause(node.place, seconds)
            self._pauses.append(self.world.start(OUTSIDE, pause, "pause"))

    def heal(self) -> None:
        """Let every wire be whole."""
        self.world.note("heal")
        for node in self.nodes:
            node.wire.is_cut = False
            node.wire.lost_replies = 0.0

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing stands still any more, and then for some time."""
        await asyncio.gather(*self._pauses)
        await asyncio.sleep(seconds)

    def log_was_away(self) -> bool:
        """Whether any node ever sent a frame before the log confirmed it."""
        counts = [node.rig.moved("response_log_events_total", "lost") for node in self.ever]
        return any(counts)

    def writer_of(self, response_id: str) -> AnswerNode | None:
        """The living node that the model answers this for."""
        for node in self.living():
            if response_id in node.rig.answering.running:
                return node
        return None
