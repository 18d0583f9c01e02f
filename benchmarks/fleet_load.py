"""A steady load on a fleet: sockets that ask, read, judge and ask again. Part of `scale_out`."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.churn import PRODUCT, question
from benchmarks.lean_sockets import LeanSocket, open_sockets

DELTA, COMPLETED = b'"type":"response.output_text.delta"', b'"type":"response.completed"'
ACKNOWLEDGED = b'"type":"feedback.acknowledged"'
FAULTS = (b'"type":"error"', b'"type":"response.failed"', b'"type":"response.reset"')


MAX_SOCKETS = 1000
"""Questions of one socket are so far apart, so that none is asked twice."""


@dataclass(slots=True)
class Tally:
    """What all clients have seen so far."""

    words: int = 0
    answers: int = 0
    acks: int = 0
    frames: int = 0
    """Text frames in both directions, as a balancer passes them on."""
    faults: int = 0
    fault: str = ""
    """The first one."""


class Asker:
    """One socket with one answer at a time; each whole answer is accepted, then the next asked."""

    def __init__(self, tally: Tally, number: int) -> None:
        self._tally = tally
        self._next = number
        self._socket: LeanSocket | None = None

    def start(self, socket: LeanSocket) -> None:
        """Ask on this socket."""
        self._socket = socket
        socket.on_text = self._look
        self._ask()

    def _ask(self) -> None:
        self._next += MAX_SOCKETS
        self._send(
            {"type": "response.create", "product_id": PRODUCT, "input": question(self._next)}
        )

    def _send(self, event: dict[str, object]) -> None:
        assert self._socket is not None
        self._tally.frames += 1
        self._socket.send(event)

    def _look(self, payload: bytes) -> None:
        tally = self._tally
        tally.frames += 1
        if payload.startswith(b"{" + DELTA):
            tally.words += payload.count(b" ")  # JSON itself comes without spaces
        elif payload.startswith(b"{" + COMPLETED):
            tally.answers += 1
            self._judge(json.loads(payload)["response"])
            self._ask()
        elif payload.startswith(b"{" + ACKNOWLEDGED):
            tally.acks += 1
        elif any(payload.startswith(b"{" + fault) for fault in FAULTS):
            tally.faults += 1
            tally.fault = tally.fault or payload.decode()

    def _judge(self, response: dict[str, object]) -> None:
        self._send(
            {
                "type": "feedback.create",
                "event_id": str(uuid.uuid4()),
                "response_id": response["id"],
                "action": "accept",
                "receipt": response["receipt"],
                "min_level": "committed",
            }
        )


async def begin_load(url: str, number: int, answer_s: float) -> tuple[Tally, Sequence[LeanSocket]]:
    """Open `number` sockets and let each begin at its own moment of an answer's duration."""
    tally = Tally()
    sockets = await open_sockets(url, number)
    for at, socket in enumerate(sockets):
        Asker(tally, at).start(socket)
        await asyncio.sleep(answer_s / number)
    return tally, sockets
