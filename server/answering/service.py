"""The door of answering: take a question, or say at once why not; which answers run here."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable

from prompts.library import PromptLibrary
from protocol.errors import EventError
from protocol.messages import ResponseCreate
from server.answering.admission import ANYBODY, Standing
from server.answering.attendance import Attendance
from server.answering.question import Question
from server.answering.running import Machinery, RunningAnswer
from server.answering.taken import TakenQuestion, write_question
from server.answering.topics import NOBODY, Asker, Topic, Topics
from server.language.cleaning import strip_hidden
from server.manuals.products import Catalog
from server.telemetry.memory import MemoryGuard
from server.telemetry.metrics import Metrics

DEFAULT_LANGUAGE = "en"
MEMORY_RETRY_MS = 5000  # memory comes back when answers end and caches shrink, not at once

MAX_EPOCHS = 8
"""A question whose nodes keep dying may be what kills them: this many begin it, no more."""

FLUSH_S = 1.0
"""Longest wait for the log before answers are handed over: what it lacks cannot be gone on with."""

_TOO_MANY_EPOCHS = EventError(
    "internal_error", "The answer was begun anew too often; ask the question again"
)


class Answering:
    """Starts answers and knows which run.

    `max_running` bounds them for the whole process, `max_per_client` for whoever takes turns in
    the queue as one: a principal with all its connections. `is_resumable` says whether answers of
    this process can be resumed wherever the client connects next.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        prompts: PromptLibrary,
        machinery: Machinery,
        topics: Topics,
        attendance: Attendance,
        metrics: Metrics,
        wall_clock: Callable[[], float],
        max_running: int,
        max_per_client: int,
        memory: MemoryGuard | None = None,
        is_resumable: bool = True,
    ) -> None:
        self._catalog = catalog
        self._prompts = prompts
        self._machinery = machinery
        self._topics = topics
        self._attendance = attendance
        self._can_resume = is_resumable
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._max_running = max_running
        self._max_per_client = max_per_client
        self._memory = memory or MemoryGuard()
        self._running_of: Counter[str] = Counter()
        self.running: dict[str, RunningAnswer] = {}

    @property
    def is_resumable(self) -> bool:
        """Whether an answer that starts now can be resumed."""
        return self._can_resume and self._machinery.publisher.is_healthy

    def start(
        self, event: ResponseCreate, asker: Asker = NOBODY, standing: Standing = ANYBODY
    ) -> RunningAnswer:
        """Start answering and return the answer; its first event is already in its topic.

        Raises `EventError`: `product_not_found`, `scenario_not_found`, `overloaded`,
        `too_many_responses`, `invalid_event`.
        """
        created_at = int(self._wall_clock())
        question = self._look_up(event, asker, standing, new_response_id(), created_at)
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
        stored = write_question(event, created_at, asker, standing)
        topic = Topic(question.response_id, asker, stored)
        self._topics.add(topic)
        answer = self._run(question, topic, epoch=1)
        answer.start(resumable=self.is_resumable)
        return answer

    def look_up_again(self, taken: TakenQuestion, response_id: str) -> Question:
        """Return a question that another node took; raises `EventError` when it is not for us."""
        return self._look_up(
            taken.event, taken.asker, taken.standing, response_id, taken.created_at
        )

    def take_over(self, topic: Topic, question: Question, epoch: int) -> None:
        """Go on with an answer of another node, in a new epoch."""
        answer = self._run(question, topic, epoch=epoch)
        answer.take_over(_TOO_MANY_EPOCHS if epoch > MAX_EPOCHS else None)

    def _run(self, question: Question, topic: Topic, *, epoch: int) -> RunningAnswer:
        answer = RunningAnswer(question, self._machinery, topic, self._ended, epoch=epoch)
        self.running[question.response_id] = answer
        self._running_of[question.standing.client] += 1
        self._metrics.set("answers_running", len(self.running))
        self._attendance.watch(answer)
        return answer

    def _ended(self, answer: RunningAnswer) -> None:
        question = answer.question
        del self.running[question.response_id]
        self._running_of[question.standing.client] -= 1
        if not self._running_of[question.standing.client]:
            del self._running_of[question.standing.client]
        self._metrics.set("answers_running", len(self.running))
        self._attendance.leave(answer)
        if answer.topic.has_ended:
            self._topics.retire(answer.topic)

    def _look_up(
        self,
        event: ResponseCreate,
        asker: Asker,
        standing: Standing,
        response_id: str,
        created_at: int,
    ) -> Question:
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
            response_id=response_id,
            event=event,
            text=text,
            product=product,
            prompt=prompt,
            language=event.language or DEFAULT_LANGUAGE,
            created_at=created_at,
            received_at=self._machinery.clock(),
            asker=asker,
            standing=standing,
        )

    async def wait_for_all(self) -> None:
        """Wait until every answer that runs now has ended."""
        await asyncio.gather(*(answer.done.wait() for answer in self.running.values()))

    async def hand_over_all(self) -> None:
        """Stop every answer: without a word what is read and another node can go on with."""
        shared = await self._machinery.publisher.flush(FLUSH_S)
        for answer in list(self.running.values()):
            if shared and await self._attendance.is_read(answer):
                answer.give_up()
            else:
                answer.cut_off()
        await self.wait_for_all()

    async def aclose(self) -> None:
        """Stop every answer and wait until each has been recorded."""
        self.stop_all()
        await self.wait_for_all()

    def stop_all(self) -> None:
        """Stop every answer: without a word where another node can go on, else with its end."""
        hand_over = self._machinery.publisher.is_shared
        for answer in list(self.running.values()):
            if hand_over:
                answer.give_up()
            else:
                answer.cut_off()


def new_response_id() -> str:
    """Return an id that cannot be guessed: to know it is a right."""
    return f"resp_{secrets.token_hex(16)}"
