"""What the doors of one process share: who it is, whether it is draining, who is connected."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from starlette.requests import HTTPConnection

from protocol.errors import ErrorCode, EventError
from protocol.events import SessionFacts
from protocol.rates import TokenBucket
from server.answering.resuming import Resuming
from server.answering.service import Answering
from server.answering.turns import Turns
from server.endpoints.doorkeeper import Doorkeeper
from server.endpoints.origins import OriginRule
from server.endpoints.peers import Networks, client_address, limit_key
from server.endpoints.principals import KeyRing, Principal
from server.endpoints.rates import Rates
from server.endpoints.tickets import Tickets, is_ticket
from server.feedback.audit import Audit, AuditAction, Fact, MemoryAudit
from server.feedback.service import Feedback
from server.manuals.library import Library
from server.manuals.products import Catalog
from server.manuals.search import ProductSearch
from server.storage.once import MemoryOnce
from server.telemetry.metrics import Metrics

log = structlog.get_logger("manicule")

GOODBYE_S = 0.5  # for saying why to all sockets; one that does not read does not hold up the end
DENIALS_PER_MINUTE = 60  # a guesser of keys must not fill the disk; the metrics count them all


class Drainable(Protocol):
    """A connection that can be told to go; `gone` is set when it has said why and has ended."""

    gone: asyncio.Event

    def drain(self, reason: str, time_left_ms: int) -> None:
        """Tell the client to finish or go elsewhere."""
        ...

    def announce(self, *, resumable: bool) -> None:
        """Tell the client whether answers can be resumed."""
        ...

    def leave(self) -> None:
        """Close with 1001."""
        ...

    def check_standing(self) -> None:
        """Close with 4401 when whoever is there may not be, or has not said in time who it is."""
        ...


def _tickets_of_this_process() -> Tickets:
    return Tickets(secrets.token_bytes(32), MemoryOnce(), time.time)


@dataclass(slots=True)
class Node:
    """One process at work.

    `new_facts` gives the facts of a new session; `leave_fleet` hands to other nodes what was
    stopped here.
    """

    catalog: Catalog
    answering: Answering
    resuming: Resuming
    search: ProductSearch
    manuals: Library
    origins: OriginRule
    keys: KeyRing
    feedback: Feedback
    metrics: Metrics
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    new_facts: Callable[[], SessionFacts]
    max_connections: int
    send_buffer_bytes: int
    slow_client_s: float
    max_body_bytes: int
    rates: Rates = field(default_factory=Rates)
    turns: Turns = field(default_factory=Turns)
    tickets: Tickets = field(default_factory=_tickets_of_this_process)
    doors: Doorkeeper = field(default_factory=Doorkeeper)
    trusted_proxies: Networks = ()
    audit: Audit = field(default_factory=lambda: MemoryAudit(time.time))
    leave_fleet: Callable[[], Awaitable[None]] | None = None
    draining: bool = False
    connections: set[Drainable] = field(default_factory=set)
    _background: set[asyncio.Task[None]] = field(default_factory=set)
    _denials: TokenBucket = field(default_factory=lambda: TokenBucket(DENIALS_PER_MINUTE))

    def address_of(self, connection: HTTPConnection) -> str:
        """Return the address that limits count for who asks; see `client_address`."""
        return limit_key(client_address(connection.scope, self.trusted_proxies))

    async def identify(self, credential: str) -> Principal | None:
        """Return whose key, token or ticket this is; a ticket is used up by it.

        Raises `EventError("store_unavailable")` while tickets cannot be looked at.
        """
        if not is_ticket(credential):
            return self.keys.find(credential)
        principal = await self.tickets.redeem(credential)
        return principal if principal is not None and self.keys.stands(principal) else None

    async def note(self, action: AuditAction, principal: Principal | None, **facts: Fact) -> None:
        """Write to the audit log; raises `EventError`, for what is not noted is not done."""
        try:
            await asyncio.to_thread(
                self.audit.note,
                action,
                actor=principal.name if principal else "",
                role=principal.role if principal else "",
                tenant=principal.tenant if principal else "",
                **facts,
            )
        except OSError as error:
            log.warning("audit_failed", action=action, reason=str(error))
            raise EventError(
                "store_unavailable", "The audit log cannot be written", retry_after_ms=1000
            ) from None

    def note_denied(self, code: ErrorCode, path: str, principal: Principal | None) -> None:
        """Write to the audit log that somebody was turned away at `path`, some a minute."""
        if not self._denials.take(self.clock()):
            self.in_background(self._note_denied(code, path, principal), "audit-denied")

    async def _note_denied(self, code: ErrorCode, path: str, principal: Principal | None) -> None:
        try:
            await self.note("denied", principal, code=code, path=path)
        except EventError:
            return  # it was logged, and the refusal stands

    def in_background(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run `work` to its end whatever becomes of the connection that began it."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("side_task_died", task=task.get_name(), exc_info=task.exception())

    async def finish_background(self) -> None:
        """Wait for what runs in the background."""
        if self._background:
            await asyncio.wait(self._background)

    def announce(self, *, resumable: bool) -> None:
        """Tell every client whether answers can be resumed from here on."""
        for connection in tuple(self.connections):
            connection.announce(resumable=resumable)

    async def drain(self, within_s: float) -> None:
        """Take nothing new, let running answers finish, hand over the rest, close the sockets."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.drain("the server is restarting", int(within_s * 1000))
        try:
            async with asyncio.timeout(within_s):
                await self.answering.wait_for_all()
        except TimeoutError:
            await self.answering.hand_over_all()
        if self.leave_fleet is not None:
            await self.leave_fleet()
        leaving = tuple(self.connections)
        for connection in leaving:
            connection.leave()
        if leaving:  # else the server's own end of the sockets may overtake the reason for it
            goodbyes = [asyncio.ensure_future(connection.gone.wait()) for connection in leaving]
            await asyncio.wait(goodbyes, timeout=GOODBYE_S)
            for goodbye in goodbyes:
                goodbye.cancel()
