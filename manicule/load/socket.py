"""One socket of a load: asks, notes when what comes, is cut and comes back."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from manicule.addresses import socket_address
from manicule.errors import CannotConnectError
from manicule.load.figures import Figures, Pace
from manicule.load.plan import LoadPlan
from manicule.opening import MAX_FRAME_BYTES, OPEN_TIMEOUT_S, SUBPROTOCOL

SLOW_CLOSED = 4008
LOST = "connection_lost"


class _Fault(msgspec.Struct):
    code: str = ""
    event_id: str | None = None
    response_id: str | None = None


class _Response(msgspec.Struct):
    receipt: str | None = None


class _Event(msgspec.Struct):
    """What the generator reads of an event: little, so that it keeps up."""

    type: str
    response_id: str | None = None
    event_id: str | None = None
    epoch: int = 0
    sequence_number: int = -1
    delta: str = ""
    error: _Fault | None = None
    response: _Response | None = None


_decoder = msgspec.json.Decoder(_Event)


@dataclass(eq=False, slots=True)
class _Asked:
    """One question: when it was due, and how far its answer has come."""

    due: float
    pace: Pace
    response_id: str | None = None
    position: tuple[int, int] = (1, -1)
    has_text: bool = False


@dataclass(eq=False, slots=True)
class LoadSocket:
    """One connection and what was asked on it."""

    plan: LoadPlan
    figures: Figures
    dice: Random
    _socket: ClientConnection | None = None
    _reader: asyncio.Task[None] | None = None
    _waiting: dict[str, _Asked] = field(default_factory=dict)
    _running: dict[str, _Asked] = field(default_factory=dict)
    _judging: dict[str, float] = field(default_factory=dict)
    _is_ending: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether something is still to come."""
        return bool(self._waiting or self._running or self._judging)

    async def open(self) -> None:
        """Connect, say who we are, and read from here on."""
        plan = self.plan
        url, is_local = socket_address(plan.url)
        try:
            self._socket = await open_socket(
                url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=0.2,
                max_size=MAX_FRAME_BYTES,
                compression=None,
                proxy=None if is_local else True,
            )
            await self._socket.recv()
            if plan.token is not None:
                await self._send({"type": "session.update", "token": plan.token})
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = str(error) or type(error).__name__
            raise CannotConnectError(f"Cannot connect to {url}: {reason}") from error
        self._reader = asyncio.create_task(self._read(self._socket), name="load-read")

    async def ask(self, question: dict[str, str], due: float) -> None:
        """Ask a question that was due at `due`."""
        asked = _Asked(due, Pace(self.plan.words_per_s))
        self._waiting[question["event_id"]] = asked
        self.figures.begin()
        await self._send(question)

    async def ask_and_be_slow(self, question: dict[str, str]) -> None:
        """Ask and read nothing until the server closes."""
        assert self._socket is not None
        if self._reader is not None:
            self._reader.cancel()
        self._socket.transport.pause_reading()
        await self._send(question)
        await self._socket.wait_closed()

    async def reconnect(self) -> None:
        """Cut the connection and take its answers up on a new one."""
        self._is_ending = True
        if self._socket is not None:
            self._socket.transport.abort()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
        self._is_ending = False
        figures = self.figures
        for _ in self._waiting:  # whether these were taken nobody knows
            figures.end(LOST)
        self._waiting.clear()
        self._judging.clear()
        try:
            await self.open()
        except CannotConnectError:
            self._lose_all()
            return
        for response_id, asked in self._running.items():
            figures.resumed += 1
            epoch, number = asked.position
            event = {"type": "response.resume", "response_id": response_id}
            await self._send({**event, "epoch": epoch, "starting_after": number})

    async def aclose(self) -> None:
        """Close; what had not ended stays unfinished."""
        self._is_ending = True
        if self._socket is not None:
            if self._socket.close_code == SLOW_CLOSED:
                self.figures.slow_closed += 1
            self._socket.transport.abort()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _send(self, event: dict[str, object] | dict[str, str]) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(json.dumps(event, separators=(",", ":")))
        except WebSocketException:
            return  # the reader notices

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                frame = await socket.recv(decode=False)
                await self._take(_decoder.decode(frame), time.perf_counter())
        except (OSError, WebSocketException):
            if not self._is_ending:
                self._lose_all()

    def _lose_all(self) -> None:
        for _ in (*self._waiting, *self._running):
            self.figures.end(LOST)
        self._waiting.clear()
        self._running.clear()
        self._judging.clear()

    async def _take(self, event: _Event, now: float) -> None:
        figures = self.figures
        if event.type == "error" and event.error is not None:
            self._refused(event.error)
        elif event.type == "feedback.acknowledged" and event.event_id is not None:
            due = self._judging.pop(event.event_id, None)
            if due is not None:
                figures.feedback_s.append(now - due)
        elif event.type == "response.created" and event.event_id in self._waiting:
            assert event.response_id is not None
            self._running[event.response_id] = self._waiting.pop(event.event_id)
        asked = self._running.get(event.response_id or "")
        if asked is not None and event.sequence_number >= 0:
            asked.position = (event.epoch, event.sequence_number)
            await self._note(asked, event, now)

    async def _note(self, asked: _Asked, event: _Event, now: float) -> None:
        figures = self.figures
        if event.type == "response.output_text.delta":
            figures.deltas += 1
            asked.pace.arrived(event.delta, now)
            if not asked.has_text:
                asked.has_text = True
                figures.first_token_s.append(now - asked.due)
        elif event.type == "response.reset":
            figures.resets += 1
            asked.pace = Pace(self.plan.words_per_s)
        elif event.response is not None and event.type != "response.created":
            assert event.response_id is not None
            del self._running[event.response_id]
            figures.end(event.type.removeprefix("response."))
            figures.total_s.append(now - asked.due)
            figures.lateness_s += asked.pace.lateness_s()
            if event.type == "response.completed" and self.dice.random() < self.plan.feedback_share:
                await self._judge(event.response_id, event.response.receipt, now)

    async def _judge(self, response_id: str, receipt: str | None, now: float) -> None:
        now_ms = time.time_ns() // 1_000_000
        event_id = str(new_uuid7(now_ms, self.dice.getrandbits(74)))
        self._judging[event_id] = now
        event = {"type": "feedback.create", "event_id": event_id, "action": "accept"}
        await self._send({**event, "response_id": response_id, "receipt": receipt or ""})

    def _refused(self, error: _Fault) -> None:
        figures = self.figures
        if error.event_id is not None and self._waiting.pop(error.event_id, None) is not None:
            figures.end(error.code)
        elif error.response_id is not None and error.response_id in self._running:
            del self._running[error.response_id]
            figures.end(f"resume_{error.code}")
        else:
            self._judging.pop(error.event_id or "", None)
            figures.errors[error.code] += 1


def new_uuid7(unix_ms: int, random_74: int) -> UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7) of a time and 74 random bits."""
    high, low = random_74 >> 62, random_74 & (2**62 - 1)
    return UUID(int=(unix_ms & (2**48 - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
