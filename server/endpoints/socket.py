"""One open socket. Reads, hands to the session, does what comes back."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from msgspec import UNSET
from starlette.websockets import WebSocket, WebSocketDisconnect

from protocol.codec import encode, error_event
from protocol.errors import CloseCode, EventError
from protocol.events import CatalogResults, Error, FeedbackAcknowledged
from protocol.messages import (
    CatalogSearch,
    FeedbackCreate,
    Message,
    ResponseCreate,
    SessionUpdate,
)
from protocol.session import (
    Authenticate,
    Cancel,
    Close,
    Command,
    Judge,
    Resume,
    Search,
    Send,
    Session,
    Start,
)
from server.endpoints.doorkeeper import Visit
from server.endpoints.found import find_products
from server.endpoints.node import Node
from server.endpoints.outbox import SLOW, WRITE_TEXT, Closing, Outbox, write_nothing
from server.endpoints.principals import OPERATOR, Principal, asked_by, asker_of
from server.endpoints.priorities import standing_of
from server.endpoints.rates import least_left, refusal
from server.endpoints.reading import Reading
from server.endpoints.rights import may_send
from server.telemetry.tracing import hear

log = structlog.get_logger("manicule")

SUBPROTOCOL = "manicule.v1"
MAX_JUDGING = 1000  # a group commit's worth: more waiting means that the store is behind
AUTHENTICATE_S = 5.0  # a page that has a key sends it at once
BAD_TOKEN = "The token is not valid here, or over, or used; connect again with another"  # noqa: S105
YIELD_EVERY = 32  # messages of one socket, a millisecond or two, before others have their turn
CLOSE_WAIT_S = 1.0  # a client that does not read does not get to hold its closing either


class Connection:
    """One accepted socket: a task that only receives, a task that only sends."""

    def __init__(
        self, websocket: WebSocket, node: Node, visit: Visit, principal: Principal | None
    ) -> None:
        self._websocket = websocket
        self._node = node
        self._visit = visit
        self._principal = principal
        self._session = Session(
            node.new_facts(),
            needs_token=self._principal is None,
            allows=lambda event: may_send(self._principal, event),
        )
        self._opened_at = node.clock()
        self._judging = 0
        self.gone = asyncio.Event()
        self._reading = Reading(node.resuming, send=self._send, on_end=self._session.answer_ended)
        self._outbox = Outbox(
            websocket.send_text,
            buffer_bytes=node.send_buffer_bytes,
            slow_s=node.slow_client_s,
            on_full=self._reading.wait,
            on_room=self._reading.read_on,
            write=websocket.scope.get("extensions", {}).get(WRITE_TEXT, write_nothing),
        )
        self._reading.start(self._outbox)

    async def run(self) -> None:
        """Serve until either side closes."""
        hear(self._websocket.headers.get("traceparent", ""))
        self._obey(self._session.open())
        receiver = asyncio.create_task(self._receive(), name="socket-receive")
        sender = asyncio.create_task(self._outbox.run(), name="socket-send")
        try:
            await asyncio.wait([receiver, sender], return_when=asyncio.FIRST_COMPLETED)
            await self._close(receiver, sender)
        finally:
            self._reading.close()
            for task in (receiver, sender):
                task.cancel()
            await asyncio.gather(receiver, sender, return_exceptions=True)
            self._session.close()
            self.gone.set()

    async def _receive(self) -> CloseCode | None:
        """Read until the end; returns why we ended it below, None when the client did."""
        messages = 0
        while True:
            messages += 1
            if messages % YIELD_EVERY == 0:
                await asyncio.sleep(0)  # messages that are there already do not make us wait
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return CloseCode.RATE if message.get("code") == CloseCode.RATE else None
            text = message.get("text")
            frame = text if text is not None else message["bytes"]
            if self._outbox.is_closing:
                continue  # read on only to see the end
            if self._principal is not None and not self._node.keys.stands(self._principal):
                self.check_standing()
                continue
            for command in self._session.receive(frame, self._node.clock()):
                if isinstance(command, Authenticate):
                    await self._authenticate(command.event)
                elif isinstance(command, Start):
                    await self._ask(command.event)
                else:
                    self._obey([command])

    async def _close(
        self, receiver: asyncio.Task[CloseCode | None], sender: asyncio.Task[Closing]
    ) -> None:
        if receiver.done():
            code = receiver.result()  # a fault in our reading must be loud
            by = "client" if code is None else str(int(code))
            self._node.metrics.count("connections_closed_total", by)
            return
        try:
            closing = sender.result()
        except (WebSocketDisconnect, RuntimeError):  # lost while we sent, before reading noticed
            self._node.metrics.count("connections_closed_total", "client")
            return
        self._node.metrics.count("connections_closed_total", str(int(closing.code)))
        if closing is SLOW:
            self._node.metrics.count("slow_clients_total")
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._websocket.close(closing.code, closing.reason)

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send(event):
                    self._send(event)
                case Search(event):
                    self._search(event)
                case Cancel(event):
                    work = self._reading.cancel(event, asker_of(self._principal))
                    self._node.in_background(work, "cancel")
                case Resume(event):
                    work = self._reading.resume(event, asker_of(self._principal))
                    self._node.in_background(work, "resume")
                case Judge(event):
                    self._judge(event)
                case Close(code, reason):
                    self._outbox.close(code, reason)

    def _send(self, event: Message) -> None:
        if isinstance(event, Error):
            self._node.metrics.count("errors_total", event.error.code)
        self._outbox.put(encode(event))

    def _search(self, event: CatalogSearch) -> None:
        products = find_products(self._node, event)
        self._send(CatalogResults(event_id=event.event_id, products=products))

    async def _ask(self, event: ResponseCreate) -> None:
        """Start an answer as far as the rates allow, and tell what is left of them."""
        await self._node.turns.take()
        verdict = await self._node.rates.take_question(self._principal, self._visit.address)
        refused = refusal(verdict)
        if refused is None:
            self._start(event)
        else:
            self._refuse(event, refused)
        self._send(least_left(self._session.rate_limits(self._node.clock()), verdict))

    def _refuse(self, event: ResponseCreate, error: EventError) -> None:
        if event.event_id is not UNSET:
            error.event_id = event.event_id
        self._send(error_event(error))

    def _start(self, event: ResponseCreate) -> None:
        try:
            if self._node.draining:  # which may have begun while the rates were looked at
                raise EventError("draining", "The server is going away; ask elsewhere")
            event = asked_by(event, self._principal)
            standing = standing_of(event, self._principal, self._session.facts.id)
            asker = asker_of(self._principal)
            answer = self._node.answering.start(event, asker, standing)
        except EventError as error:
            self._refuse(event, error)
            return
        self._session.answer_started(answer.topic.response_id)
        self._reading.read(answer.topic)

    async def _authenticate(self, event: SessionUpdate) -> None:
        """Find out who it is before any further frame is read."""
        if self._node.keys.is_open:
            self._obey(self._session.authenticated(event))
            return
        event_id = event.event_id or None
        try:
            principal = await self._node.identify(event.token or "")
            if principal is None or not self._is_same_person(principal):
                self._turn_away(BAD_TOKEN, event_id)
                return
            self._node.doors.recognise(self._visit, principal.user_id)
        except EventError as error:
            error.event_id = event_id
            self._send(error_event(error))
            if error.code == "rate_limited":
                self._outbox.close(CloseCode.RATE, "too many sockets of one person")
            return
        self._principal = principal
        self._obey(self._session.authenticated(event))

    def _is_same_person(self, principal: Principal) -> bool:
        """Whether a fresh token is of who is here already: what runs here is theirs."""
        here = self._principal
        return here is None or (here.name, here.tenant) == (principal.name, principal.tenant)

    def check_standing(self) -> None:
        """Close with 4401 when whoever is there may not be, or has not said in time who it is."""
        if self._outbox.is_closing:
            return
        if self._principal is not None:
            if not self._node.keys.stands(self._principal):
                self._turn_away("The key or token has ended; connect again with a new one")
        elif self._node.clock() - self._opened_at >= AUTHENTICATE_S:
            self._turn_away(f"Send session.update with a `token` within {AUTHENTICATE_S:g} s")

    def _turn_away(self, message: str, event_id: str | None = None) -> None:
        error = EventError("unauthorized", message, param="token", event_id=event_id)
        self._send(error_event(error))
        self._node.note_denied("unauthorized", "/ws", self._principal)
        self._outbox.close(CloseCode.BAD_TOKEN, "bad or expired token")

    def _judge(self, event: FeedbackCreate) -> None:
        """Have feedback made durable in a task that outlives the connection."""
        if self._judging >= MAX_JUDGING:
            error = EventError(
                "store_unavailable",
                f"{MAX_JUDGING} judgements of this connection wait for the store; send it later",
                event_id=event.event_id,
                retry_after_ms=250,
            )
            self._send(error_event(error))
            return
        self._judging += 1
        self._node.in_background(self._acknowledge(event), f"judge-{event.event_id}")

    async def _acknowledge(self, event: FeedbackCreate) -> None:
        principal = self._principal or OPERATOR
        user_id = principal.user_id or self._session.user_id
        try:
            ack = await self._node.feedback.take(
                event,
                user_id=user_id,
                tenant=principal.tenant,
                principal=principal.name or user_id or self._visit.address,
            )
        except EventError as error:
            error.event_id = event.event_id
            self._send(error_event(error))
        else:
            self._node.metrics.count("feedback_total", event.action)
            self._send(
                FeedbackAcknowledged(
                    event_id=event.event_id, level=ack.level, duplicate=ack.duplicate
                )
            )
        finally:
            self._judging -= 1

    def drain(self, reason: str, time_left_ms: int) -> None:
        """Tell the client to finish or go elsewhere."""
        self._obey(self._session.drain(reason, time_left_ms))

    def announce(self, *, resumable: bool) -> None:
        """Tell the client whether its answers can be resumed from here on."""
        self._obey(self._session.announce(resumable=resumable))

    def leave(self) -> None:
        """Close with 1001 after what is queued."""
        self._outbox.close(CloseCode.GOING_AWAY, "the server is restarting")
