"""Models tried in order: the next one answers when one fails before its first token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from protocol.events import AttemptReason, FallbackName
from server.llm.port import (
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    TextDelta,
    UpstreamError,
    UpstreamErrorKind,
    Usage,
)
from server.llm.usage import estimate_usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model is asked. `number` counts from 1; `fallback` names what stands in for a model."""

    number: int
    model: str
    reason: AttemptReason
    fallback: FallbackName | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The text so far is void: a model failed in the middle, and the next one begins anew."""

    reason: UpstreamErrorKind


ChainEvent = Attempt | Reset | ModelEvent
ErrorCallback = Callable[[str, UpstreamErrorKind], None]


class Chain:
    """An ordered choice of models. `on_error(model, kind)` is called for every failed attempt."""

    def __init__(
        self,
        models: Sequence[Model],
        *,
        answer_timeout_s: float = 60.0,
        on_error: ErrorCallback = lambda model, kind: None,
    ) -> None:
        if not models:
            raise ValueError("a chain needs a model")
        self.models = tuple(models)
        self._answer_timeout_s = answer_timeout_s
        self._on_error = on_error

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in the order in which they are tried."""
        return tuple(model.name for model in self.models)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ChainEvent, None]:
        """Answer the request: an `Attempt` before each model's events, one `Finish` at the end.

        A model that fails before its first token gives way to the next; when all have, the error
        that says most about a later try is raised. A failure after text has been given is raised
        at once. At `answer_timeout_s` what there is ends with `Finish("length")` and an estimated
        usage; without any text that is an `UpstreamError("timeout")`. Closing the generator
        closes the current upstream at once.
        """
        deadline_s = asyncio.get_running_loop().time() + self._answer_timeout_s
        errors: list[UpstreamError] = []
        for number, model in enumerate(self.models, 1):
            yield self._attempt(number)
            progress = _Progress()
            try:
                async with aclosing(self._ask(model, request, deadline_s, progress)) as events:
                    async for event in events:
                        yield event
                return
            except UpstreamError as error:
                self._on_error(model.name, error.kind)
                errors.append(error)
                if progress.chars or progress.out_of_time:
                    raise
        raise next((error for error in errors if error.retryable), errors[0])

    def _attempt(self, number: int) -> Attempt:
        name = self.models[number - 1].name
        if number == 1:
            return Attempt(number, name, "first")
        if name == "extractive":
            return Attempt(number, name, "fallback", "extractive")
        same = name == self.models[number - 2].name
        return Attempt(number, name, "retry" if same else "failover")

    async def _ask(
        self, model: Model, request: ModelRequest, deadline_s: float, progress: _Progress
    ) -> AsyncGenerator[ModelEvent, None]:
        """One model's events, ended by the wall clock if need be."""
        stream = cast("AsyncGenerator[ModelEvent, None]", model.stream(request))
        async with aclosing(stream):
            while not progress.finished:
                try:
                    async with asyncio.timeout_at(deadline_s):
                        event = await anext(stream)
                except StopAsyncIteration:
                    message = f"{model.name} ended without saying how"
                    raise UpstreamError("malformed", message) from None
                except TimeoutError:
                    break
                progress.note(event)
                yield event
        if progress.finished:
            return
        progress.out_of_time = True
        if not progress.chars:
            message = f"no answer within {self._answer_timeout_s:g} s"
            raise UpstreamError("timeout", message)
        if not progress.counted:
            yield estimate_usage(request, progress.chars)
        yield Finish("length")

    async def check(self) -> dict[str, UpstreamError | None]:
        """Ask every model whether it can be reached; the reason for each that cannot."""

        async def check(model: Model) -> UpstreamError | None:
            try:
                await model.check()
            except UpstreamError as error:
                return error
            return None

        results = await asyncio.gather(*(check(model) for model in self.models))
        return dict(zip(self.names, results, strict=True))

    async def aclose(self) -> None:
        """Close every model."""
        for model in self.models:
            await model.aclose()


@dataclass(slots=True)
class _Progress:
    """How far one attempt has come."""

    chars: int = 0
    counted: bool = False
    finished: bool = False
    out_of_time: bool = False

    def note(self, event: ModelEvent) -> None:
        if isinstance(event, TextDelta):
            self.chars += len(event.text)
        elif isinstance(event, Usage):
            self.counted = True
        else:
            self.finished = True
