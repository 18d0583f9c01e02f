"""One open socket: frames in to whom they concern, requests out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final, Protocol
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from manicule.answer import Answer, lost
from manicule.decoding import TERMINAL, Object, object_of
from manicule.errors import CannotConnectError, ConnectionLostError, Error, error_of

GREETING_S: Final = 10.0
"""A server says its facts at once; one that is silent for this long is none of ours."""
DEFAULT_SENT_BYTES: Final = 64 * 2**10
"""The largest frame to a server that does not say what it takes."""


OnGoAway = Callable[["Connection", int], None]


class FeedbackEnd(Protocol):
    """Where answers to feedback go."""

    def acknowledged(self, obj: Object) -> None:
        """Take a `feedback.acknowledged`."""
        ...

    def refused(self, error: Error) -> None:
        """Take an error about an event that may be feedback."""
        ...


class Connection:
    """A socket whose session is open. `read` must run for anything to arrive."""

    def __init__(
        self,
        socket: ClientConnection,
        feedback: FeedbackEnd,
        on_go_away: OnGoAway,
    ) -> None:
        self.session: Object = {}
        self.is_leaving = False
        self.end: ConnectionLostError | None = None
        self._socket = socket
        self._feedback = feedback
        self._on_go_away = on_go_away
        self._requests: dict[str, asyncio.Future[Object]] = {}
        self._asked: dict[str, Answer] = {}
        self._answers: dict[str, Answer] = {}
        self._resuming: dict[str, str] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def greet(self) -> None:
        """Wait for the session's facts, which the server sends first."""
        try:
            async with asyncio.timeout(GREETING_S):
                event = object_of(await self._socket.recv())
        except TimeoutError:
            raise CannotConnectError("The server is silent. Check the address.") from None
        except ConnectionClosed as error:
            raise closed(error) from error
        session = event.get("session")
        if event["type"] != "session.created" or not isinstance(session, dict):
            raise CannotConnectError(
                "The server does not speak manicule.v1. Check the address.", retryable=False
            )
        self.session = session

    @property
    def max_sent_bytes(self) -> int:
        """The largest frame that the server takes."""
        limits = self.session.get("limits")
        given = limits.get("max_frame_bytes") if isinstance(limits, dict) else None
        return given if isinstance(given, int) else DEFAULT_SENT_BYTES

    async def read(self) -> ConnectionLostError:
        """Pass on what comes until the socket's end; returns why it ended. Answers are left."""
        try:
            while True:
                frame = await self._socket.recv()
                self._dispatch(object_of(frame), len(frame))
        except ConnectionClosed as error:
            self.end = closed(error)
        except ConnectionLostError as error:
            self.end = error
            await self._socket.close()
        return self.end

    async def request(self, kind: str, fields: Object, event_id: str | None = None) -> Object:
        """Send an event and return the one that answers it; raises `Error`."""
        event_id = event_id or str(uuid4())
        waiting: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        self._requests[event_id] = waiting
        self._count()
        try:
            await self.send({"type": kind, "event_id": event_id, **fields})
            return await waiting
        finally:
            del self._requests[event_id]
            waiting.cancel()
            self._count()

    async def ask(self, answer: Answer, fields: Object) -> None:
        """Send a question whose events go to `answer`; raises `Error`."""
        event_id = str(uuid4())
        self._asked[event_id] = answer
        self._count()
        try:
            await self.send({"type": "response.create", "event_id": event_id, **fields})
        except Error:
            self._asked.pop(event_id, None)
            self._count()
            raise

    async def resume(self, answer: Answer) -> None:
        """Take up an answer of an earlier connection; raises `Error` when it is not kept."""
        assert answer.id is not None
        epoch, number = answer.position or (1, -1)
        self._answers[answer.id] = answer
        self._count()
        position = {"response_id": answer.id, "epoch": epoch, "starting_after": number}
        event_id = str(uuid4())
        self._resuming[answer.id] = event_id  # the answer to it does not name it
        try:
            event = await self.request("response.resume", position, event_id)
        except Error:
            self._forget(answer.id)
            raise
        if event.get("recovered") is not True:
            self._forget(answer.id)
            final = event.get("response")
            if not isinstance(final, dict):
                raise ConnectionLostError("A part of the answer is no longer kept. Ask again.")
            end = {"type": f"response.{final.get('status')}", "response": final}
            at = {"response_id": answer.id, "epoch": epoch + 1, "sequence_number": 0}
            answer.push({**end, **at}, 0)

    async def cancel(self, answer: Answer) -> None:
        """Ask the server to stop an answer, without waiting for it."""
        await self.send({"type": "response.cancel", "response_id": answer.id})

    async def send(self, event: Object) -> None:
        """Send an event; raises `ConnectionLostError`, and `Error` when it is too large."""
        await self.send_frame(json.dumps(event, separators=(",", ":")))

    async def send_frame(self, frame: str) -> None:
        """Send what is encoded already."""
        if len(frame) > self.max_sent_bytes or len(frame.encode()) > self.max_sent_bytes:
            # Sent, it would cost the connection and all that runs on it.
            raise Error(
                "payload_too_large", f"The server takes {self.max_sent_bytes} bytes in one event"
            )
        try:
            await self._socket.send(frame)
        except ConnectionClosed as error:
            raise closed(error) from error

    def carries(self, answer: Answer) -> bool:
        """Whether the events of `answer` come here."""
        return self._answers.get(answer.id or "") is answer

    def release(self, end: ConnectionLostError) -> list[Answer]:
        """End all requests; return the answers that have not ended, and carry them no longer."""
        self.end = end
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_exception(lost(end))
        answers = [*self._asked.values(), *self._answers.values()]
        self._asked.clear()
        self._answers.clear()
        self._count()
        return answers

    async def until_idle(self) -> None:
        """Wait until no answer runs here and no request waits."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """Close the socket; `read` ends."""
        await self._socket.close()

    def _dispatch(self, obj: Object, size: int) -> None:
        kind = obj["type"]
        event_id = obj.get("event_id")
        response_id = obj.get("response_id")
        if kind == "error":
            self._refuse(error_of(obj.get("error")))
        elif kind == "feedback.acknowledged":
            self._feedback.acknowledged(obj)
        elif kind == "session.go_away":
            self.is_leaving = True
            left_ms = obj.get("time_left_ms")
            self._on_go_away(self, left_ms if isinstance(left_ms, int) else 0)
        elif kind == "response.resumed":
            self._answer_request(self._resuming.pop(str(response_id), ""), obj)
        elif isinstance(response_id, str):
            self._pass_on(kind, response_id, event_id, obj, size)
        elif isinstance(event_id, str):
            self._answer_request(event_id, obj)

    def _pass_on(
        self, kind: str, response_id: str, event_id: object, obj: Object, size: int
    ) -> None:
        if kind == "response.created":
            answer = self._take_asked(event_id)
            if answer is not None:
                started = obj.get("response")
                is_resumable = isinstance(started, dict) and started.get("resumable") is True
                answer.begin(response_id, is_resumable=is_resumable)
                self._answers[response_id] = answer
        running = self._answers.get(response_id)
        if running is not None:
            running.push(obj, size)
            if kind in TERMINAL or running.is_over:
                self._forget(response_id)

    def _take_asked(self, event_id: object) -> Answer | None:
        """Return the answer that was asked for under this id, or the oldest when there is none."""
        if not isinstance(event_id, str):
            event_id = next(iter(self._asked), "")
        return self._asked.pop(event_id, None)

    def _refuse(self, error: Error) -> None:
        event_id = error.event_id
        if event_id is None:
            waiting = [*self._requests, *self._asked]
            event_id = waiting[0] if len(waiting) == 1 else ""
        if event_id in self._asked:
            self._asked.pop(event_id).fail(error)
            self._count()
        elif event_id in self._requests:
            if not self._requests[event_id].done():
                self._requests[event_id].set_exception(error)
        elif error.event_id is not None:
            self._feedback.refused(error)

    def _answer_request(self, event_id: str, obj: Object) -> None:
        waiting = self._requests.get(event_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(obj)

    def _forget(self, response_id: str) -> None:
        self._answers.pop(response_id, None)
        self._count()

    def _count(self) -> None:
        if self._requests or self._asked or self._answers:
            self._idle.clear()
        else:
            self._idle.set()


def closed(error: ConnectionClosed) -> ConnectionLostError:
    """Return what a closed socket means, in words for people."""
    if error.rcvd is None:
        return ConnectionLostError("The connection was lost. Ask again.")
    reason = error.rcvd.reason or "no reason given"
    return ConnectionLostError(
        f"The server closed the connection ({error.rcvd.code}: {reason}). Ask again.",
        error.rcvd.code,
    )
