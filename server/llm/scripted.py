"""A model that says, delays and fails as its script tells; for tests, benchmarks and load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from itertools import cycle, islice, repeat

from server.llm.deadlines import within_deadlines
from server.llm.pacing import TimingWheel
from server.llm.port import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    TextDelta,
    UpstreamError,
    Usage,
)
from server.llm.script import BUILT_IN, Fail, Say, Stall, Step, Words
from server.llm.usage import estimate_usage

_WORDS = ("one ", "two ", "more ", "words ", "of ", "the ", "script ", "here ")

PIECES_PER_TURN = 16
"""Pieces given without a pause before everybody else has a turn."""

MAX_TOGETHER = 512
"""Pieces of one delta, when what is due is given together."""


class Scripted:
    """Runs its script for every question anew.

    What is due when is reckoned from the start of the answer, so late wake-ups do not add up. A
    long script is said to its end: `max_output_tokens` is left to the script. With a `pace`, what
    is due when it is looked at is one delta; else each piece is one.
    """

    name = "scripted"

    def __init__(
        self,
        steps: tuple[Step, ...] = BUILT_IN,
        *,
        first_token_timeout_s: float,
        inter_token_timeout_s: float,
        pace: TimingWheel | None = None,
    ) -> None:
        self._steps = steps
        self._pace = pace
        self._together = 1 if pace is None else MAX_TOGETHER
        self._first_token_timeout_s = first_token_timeout_s
        self._inter_token_timeout_s = inter_token_timeout_s

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer the request; see `server.llm.port.Model`."""
        return within_deadlines(
            self._run(request),
            first_token_timeout_s=self._first_token_timeout_s,
            inter_token_timeout_s=self._inter_token_timeout_s,
            pace=self._pace,
        )

    async def check(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Nothing to give back."""

    async def _run(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        usage: Usage | None = None
        finish: FinishReason = "stop"
        signal: float | None = None
        chars = pieces = 0
        due: list[str] = []
        for step in self._steps:
            if isinstance(step, Fail):
                if due:
                    yield TextDelta("".join(due))
                message = f"the script fails here: {step.kind}"
                raise UpstreamError(step.kind, message, retry_after_s=step.retry_after_s)
            if isinstance(step, Say | Words | Stall):
                for wait_s, text in _pieces(step):
                    due_s += wait_s
                    pieces += 1
                    if due and (len(due) >= self._together or due_s > loop.time()):
                        yield TextDelta("".join(due))
                        due.clear()
                    if wait_s and due_s > loop.time():
                        await asyncio.sleep(due_s - loop.time())
                    elif self._pace is None and pieces % PIECES_PER_TURN == 0:
                        await asyncio.sleep(0)
                    if text:
                        chars += len(text)
                        due.append(text)
            else:
                finish, usage = step.finish or finish, step.usage or usage
                signal = signal if step.signal is None else step.signal
        if due:
            yield TextDelta("".join(due), is_last=True)
        yield usage or estimate_usage(request, chars)
        yield Finish(finish, signal)


def _pieces(step: Say | Words | Stall) -> Iterable[tuple[float, str]]:
    """What a step says: seconds to wait, then text."""
    if isinstance(step, Say):
        return ((step.delay_ms / 1000, step.text),)
    if isinstance(step, Stall):
        return ((step.stall_ms / 1000, ""),)
    wait_s = 1 / step.rate_per_s if step.rate_per_s else 0.0
    words = (step.word,) if step.word else _WORDS
    return zip(repeat(wait_s), islice(cycle(words), step.tokens), strict=False)
