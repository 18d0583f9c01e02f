"""Who reads one answer over any number of connections, and takes no event twice and misses none."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rig import TERMINAL, WAIT_S
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from wire import DELTA, read_event

PAUSE_S = 0.02  # between two attempts to connect
CUT = (WebSocketException, OSError, EOFError, TimeoutError)


@dataclass
class Reader:
    """Asks `question` and follows its answer to the end.

    `events` are those of the answer, in order; `cuts` how often the connection was lost; `gaps_s`
    how long each loss lasted until the next event of the answer; `told` the `response.resumed`.
    A server that refuses with a retryable error is asked again. So is, by a `patient` reader, one
    that does not know the answer: what a log that fails did not take, the node that writes it has.
    """

    question: str = "How do I change the battery?"
    fields: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    patient: bool = False
    events: list[dict] = field(default_factory=list)
    told: list[dict] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    cuts: int = 0
    asked: int = 0
    gaps_s: list[float] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    anew_s: float | None = None  # from the first loss to the first event of the next epoch
    _lost_at: float | None = None
    _first_lost_at: float | None = None

    @property
    def response_id(self) -> str | None:
        return self.events[0]["response"]["id"] if self.events else None

    @property
    def is_over(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in TERMINAL

    @property
    def epoch(self) -> int:
        return self.events[-1]["epoch"]

    @property
    def text(self) -> str:
        """The text of the last epoch."""
        return "".join(
            e["delta"] for e in self.events if e["type"] == DELTA and e["epoch"] == self.epoch
        )

    @property
    def final(self) -> dict:
        """The final facts, whose text must be the text that was read."""
        assert self.is_over
        response = self.events[-1]["response"]
        assert response["output_text"] == self.text
        return response

    async def read(self, urls: Iterable[str], bound_s: float = 60.0) -> Reader:
        """Follow the answer to its end, at the next address after each loss, round and round."""
        async with asyncio.timeout(bound_s):
            for url in itertools.cycle(urls):
                try:
                    await self._visit(url)
                except CUT:
                    await asyncio.sleep(PAUSE_S)
                if self.is_over:
                    return self
        raise AssertionError

    async def until(self, wanted) -> None:
        """Wait until `wanted` (a function of an event) holds for an event of the answer."""
        async with asyncio.timeout(WAIT_S):
            while not any(wanted(event) for event in self.events):
                self.grew.clear()
                await self.grew.wait()

    async def until_more(self, number: int) -> None:
        """Wait for so many events more, or for the end."""
        wanted = len(self.events) + number
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < wanted and not self.is_over:
                self.grew.clear()
                await self.grew.wait()

    async def until_text(self) -> None:
        """Wait for the first text."""
        await self.until(lambda event: event["type"] == DELTA)

    async def _visit(self, url: str) -> None:
        address = url.replace("http", "ws", 1) + "/ws"
        options = {"proxy": None, "ping_interval": None, "open_timeout": 10, "close_timeout": 1}
        async with connect(
            address, subprotocols=["manicule.v1"], additional_headers=self.headers, **options
        ) as socket:
            await self._greet(socket)
            try:
                while not self.is_over:
                    event = read_event(await socket.recv())
                    if event["type"] == "error" and self._asks_again(event["error"]):
                        self.refused.append(event["error"]["code"])
                        await asyncio.sleep(event["error"].get("retry_after_ms", 100) / 1000)
                        return
                    self._take(event)
            except CUT:
                if self.events:
                    self.cuts += 1
                    self._lost_at = self._lost_at or time.monotonic()
                    self._first_lost_at = self._first_lost_at or self._lost_at
                raise

    def _asks_again(self, error: dict) -> bool:
        unknown = ("response_not_found", "invalid_event")
        return error["retryable"] or (self.patient and error["code"] in unknown)

    async def _greet(self, socket) -> None:
        """Ask, or go on after the last event."""
        if self.events:
            last = self.events[-1]
            await self._send(
                socket, "response.resume", response_id=self.response_id, epoch=last["epoch"],
                starting_after=last["sequence_number"],
            )  # fmt: skip
            return
        self.asked += 1
        fields = {"product_id": "td-17", **self.fields}
        await self._send(socket, "response.create", input=self.question, event_id="q", **fields)

    async def _send(self, socket, type_: str, **fields) -> None:
        await socket.send(json.dumps({"type": type_, **fields}))

    def _take(self, event: dict) -> None:
        assert event["type"] != "error", event
        if event["type"] == "response.resumed":
            assert event["recovered"], event
            assert event["response_id"] == self.response_id
            self.told.append(event)
        if "sequence_number" not in event:
            return
        self._check_place(event)
        if self._lost_at is not None:
            self.gaps_s.append(time.monotonic() - self._lost_at)
            self._lost_at = None
        if event["epoch"] > 1 and self._first_lost_at is not None and self.anew_s is None:
            self.anew_s = time.monotonic() - self._first_lost_at
        self.events.append(event)
        self.grew.set()

    def _check_place(self, event: dict) -> None:
        """Exactly the next one: of this epoch, or the first of the next after a reset."""
        place = (event["epoch"], event["sequence_number"])
        if not self.events:
            assert event["type"] == "response.created"
            assert place == (1, 0)
            return
        last = self.events[-1]
        assert event["response_id"] == self.response_id
        assert last["type"] not in TERMINAL, "something follows the end"
        if last["type"] == "response.reset":
            assert place == (last["epoch"] + 1, 0)
        else:
            assert place == (last["epoch"], last["sequence_number"] + 1)
