"""The door of answering: take a question, or say at once why not."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable

from prompts.library import PromptLibrary
from protocol.errors import EventError
from protocol.messages import ResponseCreate
from server.answering.admission import ANYBODY, Standing
from server.answering.question import Question
from server.answering.running import Machinery, Publish, RunningAnswer
from server.language.cleaning import strip_hidden
from server.manuals.products import Catalog
from server.telemetry.memory import MemoryGuard
from server.telemetry.metrics import Metrics

DEFAULT_LANGUAGE = "en"
MEMORY_RETRY_MS = 5000  # memory comes back when answers end and caches shrink, not at once


class Answering:
    """Starts answers and knows which run.

    `max_running` bounds them for the whole process, `max_per_client` for whoever takes turns in
    the queue as one: a principal with all its connections.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        prompts: PromptLibrary,
        machinery: Machinery,
        metrics: Metrics,
        wall_clock: Callable[[], float],
        max_running: int,
        max_per_client: int,
        memory: MemoryGuard | None = None,
    ) -> None:
        self._catalog = catalog
        self._prompts = prompts
        self._machinery = machinery
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._max_running = max_running
        self._max_per_client = max_per_client
        self._memory = memory or MemoryGuard()
        self._running_of: Counter[str] = Counter()
        self.running: dict[str, RunningAnswer] = {}

    def start(
        self,
        event: ResponseCreate,
        publish: Publish,
        tenant: str = "",
        standing: Standing = ANYBODY,
    ) -> RunningAnswer:
        """Start answering and return the answer; its first event is already published.

        Raises `EventError`: `product_not_found`, `scenario_not_found`, `overloaded`,
        `too_many_responses`, `invalid_event`.
        """
        question = self._look_up(event, tenant, standing)
        client = standing.client
        if client and self._running_of[client] >= self._max_per_client:
            raise EventError(
                "too_many_responses",
                f"{self._max_per_client} answers of yours are running; wait for one to end",
            )
        if len(self.running) >= self._max_running:
            raise EventError(
                "overloaded", "This server runs as many answers as it may", retry_after_ms=1000
            )
        if self._memory.is_short():
            raise EventError(
                "overloaded", "This server is short of memory", retry_after_ms=MEMORY_RETRY_MS
            )
        answer = RunningAnswer(question, self._machinery, publish, self._ended)
        self.running[question.response_id] = answer
        self._running_of[client] += 1
        self._metrics.set("answers_running", len(self.running))
        answer.start()
        return answer

    def _ended(self, answer: RunningAnswer) -> None:
        question = answer.question
        del self.running[question.response_id]
        self._running_of[question.standing.client] -= 1
        if not self._running_of[question.standing.client]:
            del self._running_of[question.standing.client]
        self._metrics.set("answers_running", len(self.running))

    def _look_up(self, event: ResponseCreate, tenant: str, standing: Standing) -> Question:
        if event.task != "answer":
            raise EventError(
                "invalid_event",
                f"`task` {event.task!r} is not served here; send `answer`",
                param="task",
            )
        product_id = event.product_id or ""
        product = self._catalog.get(product_id)
        if product is None:
            raise EventError(
                "product_not_found",
                f"The catalog has no product {product_id!r}; find ids with catalog.search",
                param="product_id",
            )
        prompt = self._prompts.get("answer", event.scenario)
        if prompt is None:
            raise EventError(
                "scenario_not_found",
                f"No scenario {event.scenario!r}; there are {', '.join(self._prompts.scenarios)}",
                param="scenario",
            )
        text, stripped = strip_hidden(event.input)
        self._metrics.count("stripped_characters_total", "question", by=stripped)
        if not text.strip():
            raise EventError(
                "invalid_event", "`input` holds nothing that can be read", param="input"
            )
        return Question(
            response_id=f"resp_{secrets.token_hex(16)}",
            event=event,
            text=text,
            product=product,
            prompt=prompt,
            language=event.language or DEFAULT_LANGUAGE,
            created_at=int(self._wall_clock()),
            received_at=self._machinery.clock(),
            tenant=tenant,
            standing=standing,
        )

    async def wait_for_all(self) -> None:
        """Wait until every answer that runs now has ended."""
        await asyncio.gather(*(answer.done.wait() for answer in self.running.values()))

    def cut_off_all(self) -> None:
        """Stop every answer, each with its terminal event."""
        for answer in list(self.running.values()):
            answer.cut_off()

    def abandon_all(self) -> None:
        """Stop every answer without a word."""
        for answer in list(self.running.values()):
            answer.abandon()
