"""The loops that empty the outbox: one for each endpoint, on every node.

A node borrows a few notices, sends them at once, and settles each. A notice is delivered at least
once: a node that dies after the receiver took it, or cannot tell the store, leaves it to be sent
again under the same id.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import structlog

from server.storage.cancelling import end_tasks
from server.storage.outbox import Delivery, Outbox
from server.storage.store import StoreUnavailableError
from server.webhooks.endpoints import Endpoint
from server.webhooks.sending import Reply

log = structlog.get_logger()

BATCH = 8
"""Deliveries under way to one endpoint from one node: a slow receiver is not buried."""

LOAN_MS = 60_000
"""How long a borrowed notice is ours: six times the longest delivery."""

POLL_S = 0.5
"""How often an empty outbox is looked at."""

FIRST_RETRY_S = 5.0
RETRY_FACTOR = 4
MAX_RETRY_S = 6 * 3600.0
MAX_ATTEMPTS = 12
"""With pauses of 5 s, 20 s, 80 s, ... 6 h, each thrown between half and all of it, the last attempt
comes 16 to 32 hours after the first."""

FIRST_REST_S = 1.0
MAX_REST_S = 60.0
"""How long an endpoint rests that took nothing of a batch: doubled from the first to the last, so
that one that is down costs little and its other notices keep their attempts."""

Result = Literal[
    "delivered",  # the receiver has it
    "failed",  # not this time; it will be tried again
    "dead",  # not this time, and it was the last; or the receiver never wants it
    "repeats",  # sent, but the store was not told: it will be sent again
]


class Send(Protocol):
    """How one notice is sent; see `Sender.send`."""

    def __call__(
        self, endpoint: Endpoint, message_id: str, body: bytes, *, now_s: float
    ) -> Awaitable[Reply]:
        """Send it."""
        ...


def retry_pause_s(attempts: int, dice: float) -> float:
    """Return how long to wait after that many attempts; `dice` is in 0..1."""
    longest = min(MAX_RETRY_S, FIRST_RETRY_S * float(RETRY_FACTOR) ** min(attempts - 1, 20))
    return longest * (1 + dice) / 2


class Deliverer:
    """Delivers what `outbox` holds for `endpoints`.

    `wall_clock` gives Unix seconds, `dice` a number in 0..1, `new_loan` an id that no other node
    has. `on_result` counts by endpoint; `on_fatal` is told when a loop ended by a fault of ours.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoints: Sequence[Endpoint],
        send: Send,
        *,
        loan_ms: int = LOAN_MS,
        poll_s: float = POLL_S,
        max_attempts: int = MAX_ATTEMPTS,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        pause_s: Callable[[int, float], float] = retry_pause_s,
        new_loan: Callable[[], str] = lambda: secrets.token_hex(8),
        on_result: Callable[[str, Result], None] = lambda endpoint, result: None,
        on_fatal: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._outbox = outbox
        self._endpoints = endpoints
        self._send = send
        self._loan_ms = loan_ms
        self._poll_s = poll_s
        self._max_attempts = max_attempts
        self._wall_clock = wall_clock
        self._dice = dice
        self._pause_s = pause_s
        self._new_loan = new_loan
        self._on_result = on_result
        self._on_fatal = on_fatal
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    def start(self) -> None:
        """Start delivering; call it in the running event loop."""
        for endpoint in self._endpoints:
            task = asyncio.create_task(self._deliver(endpoint), name=f"webhook-{endpoint.name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def aclose(self, wait_s: float = 2.0) -> None:
        """Borrow no more, wait a moment for what is under way, and end.

        What was not settled is sent again, by another node or after a restart.
        """
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=wait_s)
        await end_tasks(*self._tasks)
        self._tasks = []

    async def step(self, endpoint: Endpoint) -> list[Result]:
        """Borrow a batch, send it, settle it; return what became of each.

        Raises `StoreUnavailableError` when nothing could be borrowed.
        """
        loan = self._new_loan()
        now = int(self._wall_clock() * 1000)
        due = await self._outbox.borrow(
            endpoint.name, limit=BATCH, now=now, until=now + self._loan_ms, loan=loan
        )
        return await asyncio.gather(*(self._settle(endpoint, one, loan) for one in due))

    async def _settle(self, endpoint: Endpoint, one: Delivery, loan: str) -> Result:
        reply = await self._send(endpoint, one.message_id, one.body, now_s=self._wall_clock())
        result: Result = "delivered"
        try:
            if reply.taken:
                settled = await self._outbox.delivered(one.number, loan)
            else:
                next_at = self._next_at(one, reply)
                result = "dead" if next_at is None else "failed"
                settled = await self._outbox.failed(
                    one.number, loan, next_at=next_at, error=str(reply)
                )
        except StoreUnavailableError:
            settled = False
        if not settled:
            result = "repeats"
        if result != "delivered":
            log.warning(
                "webhook_" + result,
                endpoint=endpoint.name,
                number=one.number,
                attempts=one.attempts,
                reply=str(reply),
            )
        self._on_result(endpoint.name, result)
        return result

    def _next_at(self, one: Delivery, reply: Reply) -> int | None:
        """Return when to try again, Unix ms; None when not at all."""
        if reply.gone or one.attempts >= self._max_attempts:
            return None
        pause_s = max(self._pause_s(one.attempts, self._dice()), reply.retry_after_s)
        return int((self._wall_clock() + pause_s) * 1000)

    async def _deliver(self, endpoint: Endpoint) -> None:
        fruitless = 0
        while not self._closing.is_set():
            try:
                results = await self.step(endpoint)
            except StoreUnavailableError as error:
                log.warning("outbox_unavailable", endpoint=endpoint.name, code=error.code)
                results = ["failed"]
            if "delivered" in results or not results:
                fruitless = 0
            else:
                fruitless += 1
            if len(results) < BATCH or fruitless:
                await self._rest(fruitless)

    async def _rest(self, fruitless: int) -> None:
        rest_s = self._poll_s
        if fruitless:
            longest = min(MAX_REST_S, FIRST_REST_S * 2.0 ** min(fruitless - 1, 10))
            rest_s = max(rest_s, longest * (1 + self._dice()) / 2)
        try:
            async with asyncio.timeout(rest_s):
                await self._closing.wait()
        except TimeoutError:
            return

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhooks_stopped", task=task.get_name(), reason=repr(error))
            self._on_fatal(f"{task.get_name()} ended: {error!r}")
