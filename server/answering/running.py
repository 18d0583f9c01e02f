"""One answer while it runs: from the question to exactly one terminal event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec import UNSET

from protocol.answer import AnswerStream
from protocol.errors import EventError
from protocol.events import AnyAnswerEvent, Stage
from server.answering.admission import Place
from server.answering.answer_cache import AnswerCache, CachedAnswer
from server.answering.answer_span import begin_span
from server.answering.endings import Ending, Recorder
from server.answering.facts import Facts
from server.answering.flights import Flights
from server.answering.model_run import ModelRun
from server.answering.preparing import Preparation, Preparer
from server.answering.progress import ProgressGate
from server.answering.publisher import Publisher
from server.answering.question import Question
from server.answering.topics import Topic, frame_of
from server.answering.turns import Turns
from server.llm.chain import Attempt, ChainEvent, Ended, Reset
from server.llm.port import Finish, TextDelta, UpstreamError
from server.manuals.library import Progress
from server.telemetry.tracing import NO_TRACER, Tracer, current, using

log = structlog.get_logger("manicule")

ENDS_AT_ONCE: Final = 16
"""Answers that end in one iteration of the loop, at 0.2 ms each: one model call may have hundreds
of readers, and ends for all of them in the same instant."""


@dataclass(frozen=True, slots=True)
class Machinery:
    """What every answer of the process works with."""

    preparer: Preparer
    cache: AnswerCache
    flights: Flights
    recorder: Recorder
    publisher: Publisher
    clock: Callable[[], float]
    timeout_s: float
    link_hosts: tuple[str, ...] = ()
    tracer: Tracer = NO_TRACER
    ends: Turns = field(default_factory=lambda: Turns(ENDS_AT_ONCE))


class RunningAnswer:
    """Runs one question and publishes its events to `topic` in order.

    `done` is set after the terminal event, or when the answer was given up without one.
    """

    __slots__ = (
        "_ending_when_stopped",
        "_facts",
        "_finish",
        "_machinery",
        "_on_done",
        "_stopped",
        "_stream",
        "_task",
        "done",
        "question",
        "topic",
    )

    def __init__(
        self,
        question: Question,
        machinery: Machinery,
        topic: Topic,
        on_done: Callable[[RunningAnswer], None],
        *,
        epoch: int = 1,
    ) -> None:
        self.question = question
        self.topic = topic
        self._on_done = on_done
        self.done = asyncio.Event()
        self._machinery = machinery
        self._stream = AnswerStream(
            question.response_id, epoch=epoch, link_hosts=machinery.link_hosts
        )
        self._facts = Facts(question)
        self._stopped = False
        self._finish = Finish("truncated")  # until the model has said its own
        self._ending_when_stopped: Ending | None = None
        self._task: asyncio.Task[Ending] | None = None

    def start(self, *, resumable: bool) -> None:
        """Send `response.created` and go on in a task of its own."""
        event_id = self.question.event.event_id
        self._give(self._stream.create(self.question.started(resumable=resumable), event_id))
        self._begin(self._run())

    def take_over(self, fault: EventError | None = None) -> None:
        """Answer anew what another node began; with a fault, only end it."""
        self._stream.take_over()
        self._begin(self._run() if fault is None else _end(Ending("failed", "error", fault)))

    def _begin(self, work: Coroutine[None, None, Ending]) -> None:
        with using(begin_span(self._machinery.tracer, self.question)):  # also inside `_settle`
            self._task = asyncio.create_task(work, name=f"answer-{self.question.response_id}")
            self._task.add_done_callback(self._settle)

    def cancel(self) -> None:
        """Stop at once, with `response.cancelled`."""
        self._stop(Ending("cancelled", "cancelled"))

    def desert(self) -> None:
        """Stop at once, with `response.cancelled`: nobody has read it for too long."""
        self._stop(Ending("cancelled", "cancelled", outcome="abandoned"))

    def cut_off(self) -> None:
        """Stop at once, with `response.failed`: the server cannot wait for it any longer."""
        fault = EventError("draining", "The server had to stop before the end; ask again")
        self._stop(Ending("failed", "error", fault))

    def give_up(self) -> None:
        """Stop at once without a word: another node goes on, or the process ends."""
        self._machinery.publisher.forget(self.topic)
        self._stop(None)

    def _stop(self, ending: Ending | None) -> None:
        if self._task is not None and not self._stopped and not self._task.done():
            self._stopped = True
            self._ending_when_stopped = ending
            self._task.cancel()

    def _settle(self, task: asyncio.Task[Ending]) -> None:
        # A callback, since a task that is cancelled before its first step runs none of its code.
        recorder = self._machinery.recorder
        try:
            ending = self._ending_when_stopped if task.cancelled() else task.result()
            if ending is None:
                recorder.given_up(self._facts)
            else:
                final = recorder.conclude(self._facts, ending, self._stream)
                self._give(self._stream.finish(final))
        finally:
            self._on_done(self)
            current().end()
            self.done.set()

    async def _run(self) -> Ending:
        ending = await self._until_end()
        await self._machinery.ends.take()
        return ending

    async def _until_end(self) -> Ending:
        try:
            async with asyncio.timeout(self._machinery.timeout_s):
                ending = await self._answer()
            self._stream.end_text()
            return ending
        except TimeoutError:
            return self._ending_at_deadline()
        except UpstreamError as error:
            return _upstream_ending(error)
        except EventError as error:  # there is no place for it
            return Ending("failed", "error", error)
        except Exception:
            log.exception("answer_crashed", response_id=self.question.response_id)
            fault = EventError("internal_error", "The server met a fault of its own; ask again")
            return Ending("failed", "error", fault)

    async def _answer(self) -> Ending:
        gate = ProgressGate(self._report_progress, self._machinery.clock)
        preparation = await self._machinery.preparer.prepare(self.question, gate)
        self._facts.preparation = preparation
        self._give(
            self._stream.report(
                "retrieving", sources=preparation.sources, manual=preparation.manual_facts
            )
        )
        self._stream.use(preparation.item_maker)
        key = preparation.cache_key
        cached = await self._machinery.cache.get(key) if key is not None else None
        if cached is not None:
            self._give(self._stream.report("generating"))
            return self._replay(cached)
        return await self._generate(preparation)

    def _report_progress(self, progress: Progress) -> None:
        stage: Stage = "manual.fetching" if progress.stage == "fetching" else "manual.extracting"
        unit = "bytes" if progress.stage == "fetching" else "pages"
        self._give(
            self._stream.report(
                stage,
                progress=min(1.0, progress.done / progress.total) if progress.total else UNSET,
                detail={f"{unit}_done": progress.done, f"{unit}_total": progress.total},
            )
        )

    def _replay(self, cached: CachedAnswer) -> Ending:
        self._facts.answer_cache = "hit"
        self._facts.model = cached.model
        self._facts.fallback = cached.fallback
        self._facts.signal = cached.signal
        self._take_text(cached.text)
        return Ending("completed", "stop")

    async def _generate(self, preparation: Preparation) -> Ending:
        flights = self._machinery.flights
        standing = self.question.standing
        run, shared = await flights.join(
            preparation.cache_key, preparation.request, standing, self.question.asker
        )
        self._facts.answer_cache = "shared" if shared else "miss"
        try:
            await self._wait_for(run.place)
            self._give(self._stream.report("generating"))
            finish = await self._follow(run)
        finally:
            if not shared:
                self._facts.bill = flights.bill(run.seen, preparation.request)
            run.leave()
        self._facts.signal = finish.signal
        if finish.reason == "length":
            return Ending("incomplete", "length")
        return Ending("completed", finish.reason)

    async def _wait_for(self, place: Place) -> None:
        place.listen(self._report_position)
        try:
            await place.wait()
        finally:
            place.unlisten(self._report_position)

    def _report_position(self, position: int) -> None:
        self._give(self._stream.report("queued", detail={"queue_position": position}))

    async def _follow(self, run: ModelRun) -> Finish:
        await run.read(self._hear)
        return self._finish

    def _hear(self, event: ChainEvent) -> bool:
        """Take the next event of the model call; true at its end."""
        if self._stopped:
            return True
        if isinstance(event, TextDelta):
            self._take_text(event.text)
            return False
        if isinstance(event, Finish):
            self._finish = event
            return True
        self._take(event)
        return False

    def _take(self, event: ChainEvent) -> None:
        match event:
            case Attempt():
                self._facts.model, self._facts.fallback = event.model, event.fallback
                self._give(
                    self._stream.attempt(event.number, event.model, event.reason, event.fallback)
                )
            case Ended(heir=Attempt() as heir):
                self._facts.model, self._facts.fallback = heir.model, heir.fallback
            case Reset():
                self._give(self._stream.reset(event.reason))

    def _take_text(self, text: str) -> None:
        self._stream.feed(text)
        events = self._stream.take()
        if events and self._facts.first_token_at is None:
            self._facts.first_token_at = self._machinery.clock()
        self._give(events)

    def _give(self, events: Iterable[AnyAnswerEvent]) -> None:
        frames = [frame_of(event) for event in events]
        if frames:
            self._machinery.publisher.publish(self.topic, frames)

    def _ending_at_deadline(self) -> Ending:
        if self._stream.has_text:
            return Ending("incomplete", "deadline")
        limit_s = self._machinery.timeout_s
        error = EventError("deadline_exceeded", f"No answer within {limit_s:g} s; ask again")
        return Ending("failed", "deadline", error)


def _upstream_ending(error: UpstreamError) -> Ending:
    if error.kind == "timeout":
        fault = EventError("upstream_timeout", "The model did not answer in time; ask again")
    else:
        fault = EventError("upstream_error", "The model could not answer; ask again")
    if error.retry_after_s is not None:
        fault.retry_after_ms = int(error.retry_after_s * 1000)
    return Ending("failed", "error", fault)


async def _end(ending: Ending) -> Ending:
    return ending
