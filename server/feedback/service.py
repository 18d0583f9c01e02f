"""The door of feedback: one event in, an acknowledgement out, durable in between."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from protocol.errors import EventError
from protocol.messages import FeedbackCreate
from server.feedback.caps import DailyCap
from server.feedback.intake import AnswerFacts, facts_of_interaction, judge, resolve
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.storage.records import InteractionRow
from server.storage.store import Store, StoreUnavailableError
from server.telemetry.tracing import NO_TRACER, Tracer, Value, heard, using

# Answers whose facts are at hand without a look-up: feedback mostly comes right after the answer,
# perhaps before its interaction is committed.
MAX_RECENT = 10_000


class Feedback:
    """Takes judgements and interactions of one process.

    `keys` verify receipts, the first one signs elsewhere; `wall_clock` gives Unix seconds.
    `on_ack` is told how many seconds each acknowledgement took.
    """

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        keys: Sequence[bytes],
        retention_ms: int,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        on_ack: Callable[[float], None] = lambda seconds: None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self.store = store
        self._clock = clock
        self._on_ack = on_ack
        self._writer = writer
        self._keys = keys
        self._retention_ms = retention_ms
        self._wall_clock = wall_clock
        self._caps = DailyCap()
        self._recent: OrderedDict[tuple[str, str], AnswerFacts] = OrderedDict()

    def log(self, row: InteractionRow) -> None:
        """Note a question and its final facts; never waits, never fails."""
        self._recent[row.tenant, row.response_id] = facts_of_interaction(row)
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        self._writer.log(row)

    async def take(
        self, event: FeedbackCreate, *, user_id: str | None, tenant: str, principal: str
    ) -> Ack:
        """Make one judgement durable.

        `principal` is whom the daily cap counts. Raises `EventError` with the event's id: what
        `intake` and `Writer.submit` raise, and `store_unavailable` when an answer without receipt
        cannot be looked up.
        """
        began, now_ms = self._clock(), int(self._wall_clock() * 1000)
        facts = resolve(
            event, keys=self._keys, known=await self._known(event, tenant), tenant=tenant
        )
        row = judge(
            event,
            facts=facts,
            now_ms=now_ms,
            user_id=user_id,
            tenant=tenant,
            weight=self._caps.weight(principal, now_ms),
            retention_ms=self._retention_ms,
        )
        with self._traced(row.response_id, row.action):
            ack = await self._writer.submit(row, min_level=event.min_level)
        self._on_ack(self._clock() - began)
        return ack

    @contextmanager
    def _traced(self, response_id: str, action: str) -> Iterator[None]:
        names: dict[str, Value] = {"manicule.response_id": response_id, "manicule.action": action}
        root = self._tracer.begin("feedback", names, traceparent=heard())
        try:
            with using(root):
                yield
        except EventError as error:
            root.fail(error.code)
            raise
        finally:
            root.end()

    async def _known(self, event: FeedbackCreate, tenant: str) -> AnswerFacts | None:
        recent = self._recent.get((tenant, event.response_id))
        if recent is not None or event.receipt:
            return recent
        try:
            found = await self.store.interaction(event.response_id, tenant)
        except StoreUnavailableError:
            raise EventError(
                "store_unavailable",
                "The answer cannot be looked up now; send its receipt, or the same event later",
                event_id=event.event_id,
                retry_after_ms=1000,
            ) from None
        return facts_of_interaction(found) if found is not None else None
