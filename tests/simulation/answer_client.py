"""A client of the simulated nodes: asks, loses the connection, resumes, and checks what it gets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from answer_world import LOGGED_S, LONGEST_S, AnswerNode, AnswerWorld
from rig import BATTERY, TERMINAL
from simulated_socket import SimulatedSocket, SocketGoneError

PATIENCE_S = 6.0
"""A client that hears nothing for so long connects elsewhere."""


@dataclass(eq=False)
class Client:
    """Asks one question and reads the answer to its end, through any number of connections.

    Each event is checked as it comes: positions go up without a gap or a repetition, an epoch
    begins at 0 after a reset and none goes on after a later one began.
    """

    run: AnswerWorld
    question: str = BATTERY
    events: list[dict[str, Any]] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    node: AnswerNode | None = None
    socket: SimulatedSocket | None = None
    response_id: str = ""
    final: dict[str, Any] | None = None
    read_pause_s: float = 0.0
    came_at: list[float] = field(default_factory=list)
    ended_at: float = 0.0

    async def ask(self, node: AnswerNode | None = None) -> dict[str, Any]:
        """Ask, read to the end whatever happens to connections, and return the final facts."""
        async with asyncio.timeout(LONGEST_S):
            await self._connect(node or self.run.world.dice.choice(self.run.living()))
            while self.final is None:
                try:
                    self._take(await self.socket.receive(PATIENCE_S))
                    await asyncio.sleep(self.read_pause_s)
                except SocketGoneError as gone:
                    self.told[f"gone {gone.code}"] += 1
                    self.socket.cut()
                    await asyncio.sleep(self.run.world.dice.uniform(0, 0.3))
                    await self._connect(self.run.elsewhere(self.node))
        self.ended_at = self.run.world.loop.time()
        return self.final

    async def follow(self, response_id: str, node: AnswerNode) -> dict[str, Any]:
        """Read an answer that another client asked for, from its start."""
        self.response_id = response_id
        return await self.ask(node)

    async def _connect(self, node: AnswerNode) -> None:
        self.node = node
        self.run.world.note(f"connect {self.question!r} to {node.place.name} after {self.position}")
        self.socket = await self.run.connect(node)
        if not self.response_id:
            self.socket.send(type="response.create", input=self.question, product_id="td-17")
            return
        epoch, number = self.position
        self.socket.send(
            type="response.resume",
            response_id=self.response_id,
            epoch=epoch,
            starting_after=number,
        )

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two events."""
        return max(later - before for before, later in itertools.pairwise(self.came_at))

    @property
    def position(self) -> tuple[int, int]:
        """The last event that came."""
        if not self.events:
            return 1, -1
        return self.events[-1]["epoch"], self.events[-1]["sequence_number"]

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if "sequence_number" not in event:
            self.told[kind if kind != "error" else event["error"]["code"]] += 1
            if kind == "response.resumed" and not event["recovered"] and "response" in event:
                self.final = event["response"]
            if kind == "error":
                self._take_error(event["error"])
            return
        assert self.final is None, "an event after the terminal one"
        self._check_position(event)
        self.response_id = event["response_id"]
        self.events.append(event)
        self.came_at.append(self.run.world.loop.time())
        if kind in TERMINAL:
            self.final = event["response"]

    def _check_position(self, event: dict[str, Any]) -> None:
        epoch, number = self.position
        new = event["epoch"], event["sequence_number"]
        if self.events and self.events[-1]["type"] == "response.reset":
            assert new == (epoch + 1, 0), f"{new} after the reset at {epoch}-{number}"
        else:
            assert new == (epoch, number + 1), f"{new} after {epoch}-{number}"

    def _take_error(self, error: dict[str, Any]) -> None:
        if error["code"] in ("response_not_found", "invalid_event"):
            # Frames that were sent unlogged may be lost with their node: only then.
            assert self.run.log_was_away(), error
            self.events.clear()
            self.came_at.clear()
            if error["code"] == "response_not_found":
                self.response_id = ""
        else:
            assert error["retryable"], error
        raise SocketGoneError(-1)

    def text(self, epoch: int) -> str:
        """All deltas of an epoch, joined."""
        return "".join(e.get("delta", "") for e in self.events if e["epoch"] == epoch)

    def check(self) -> None:
        """Each epoch is the beginning of one call's text; the last is the whole answer."""
        assert self.final is not None
        for epoch in {event["epoch"] for event in self.events}:
            self.run.model.check_prefix(self.text(epoch))
        if self.events and self.events[-1]["type"] in TERMINAL:
            last = self.events[-1]["epoch"]
            assert self.final["output_text"] == self.text(last)
            items = [e["item"] for e in self.events if "item" in e and e["epoch"] == last]
            assert self.final["items"] == items
        if self.final["status"] == "completed":
            self.run.model.check_whole(self.final["output_text"])

    async def check_against_log(self) -> None:
        """What this client read last is what the log has, event by event, and nothing else."""
        stream = self.run.log.streams[self.response_id]
        await self.run.world.until(lambda: stream[-1].ends, LOGGED_S)
        logged = [json.loads(entry.frame) for entry in stream]
        assert [event["type"] in TERMINAL for event in logged].count(True) == 1
        assert logged[-1]["type"] in TERMINAL
        for epoch in {event["epoch"] for event in logged}:
            of_epoch = [event for event in logged if event["epoch"] == epoch]
            numbers = [event["sequence_number"] for event in of_epoch]
            assert numbers == list(range(len(numbers))), numbers
            self.run.model.check_prefix("".join(e.get("delta", "") for e in of_epoch))
        last = logged[-1]["epoch"]
        read = [event for event in self.events if event["epoch"] == last]
        assert read == [event for event in logged if event["epoch"] == last]
