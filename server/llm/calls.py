"""One call of one model: its events, its first token, its end, and what it used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from server.llm.attempts import Attempt, Ended
from server.llm.deployments import Deployment
from server.llm.patience import Patience
from server.llm.port import Finish, ModelEvent, ModelRequest, TextDelta, UpstreamError, Usage
from server.llm.usage import estimate_usage

NOTHING = Usage(0, 0)


def loop_s() -> float:
    """Seconds of the running loop's clock."""
    return asyncio.get_running_loop().time()


class Call:
    """Asks the model of `deployment` for `request`, until `deadline_s` of the loop's clock.

    The deployment is told how it went. `next` has the events behind the first one. Whoever makes
    a call closes it, whatever happens.
    """

    __slots__ = (
        "_began_s",
        "_chars",
        "_deadline_s",
        "_first",
        "_is_over",
        "_patience",
        "_permit",
        "_request",
        "_settled",
        "_stream",
        "_usage",
        "attempt",
        "deployment",
        "has_text",
        "out_of_time",
        "took_s",
    )

    def __init__(
        self, deployment: Deployment, attempt: Attempt, request: ModelRequest, deadline_s: float
    ) -> None:
        self.deployment = deployment
        self.attempt = attempt
        self.has_text = False
        self.out_of_time = False
        self.took_s: float | None = None
        self._request = request
        self._began_s = loop_s()
        self._deadline_s = deadline_s
        self._permit = deployment.begin(self._began_s)
        self._settled = False  # the deployment knows the outcome
        self._chars = 0
        self._usage: Usage | None = None
        self._is_over = False  # the `Finish` was given
        self._patience = Patience()
        stream = deployment.model.stream(request)
        self._stream = cast("AsyncGenerator[ModelEvent, None]", stream)
        self._first: asyncio.Task[ModelEvent | None] | None = None

    @property
    def waited_s(self) -> float:
        """Seconds until the first event, or so far."""
        return loop_s() - self._began_s if self.took_s is None else self.took_s

    def listen(self) -> asyncio.Task[ModelEvent | None]:
        """Return the task that waits for the first event; `first` gives that event out."""
        if self._first is None:
            self._first = asyncio.create_task(self.next(), name="model-first-token")
        return self._first

    async def speaks_within(self, seconds: float) -> bool:
        """Whether the call has its first event, or its failure, within `seconds`."""
        done, _ = await asyncio.wait({self.listen()}, timeout=seconds)
        return bool(done)

    async def first(self) -> ModelEvent | None:
        """Return the first event, to be read once. Raises `UpstreamError`.

        At the deadline what there is ends with `Finish("length")` and an estimated usage; without
        any text that is an `UpstreamError("timeout")`.
        """
        return await (self.next() if self._first is None else self._first)

    def failed(self, error: UpstreamError, heir: Attempt | None = None) -> Ended:
        """Tell the deployment of the failure; return how the attempt ended."""
        self._settled = True
        self.deployment.failed("call" if self.took_s is not None else self._permit, error, loop_s())
        return Ended(self.attempt.number, self._used(error), heir)

    def lost(self, heir: Attempt) -> Ended:
        """Return how the attempt ended that `heir` was faster than."""
        return Ended(self.attempt.number, self._used(None), heir)

    def _used(self, error: UpstreamError | None) -> Usage:
        """Return what is billed: the provider's count, else an estimate.

        A call that was turned away costs nothing; one that was silent has at least been read.
        """
        if self._usage is not None:
            return self._usage
        if self._chars or error is None or error.kind == "timeout":
            return estimate_usage(self._request, self._chars)
        return NOTHING

    async def aclose(self) -> None:
        """End the call and its connection at once."""
        if not self._settled and self.took_s is None:
            self.deployment.left(self._permit)
        self._settled = True
        if self._first is not None and not self._first.done():
            self._first.cancel()
        if self._first is not None:
            await asyncio.gather(self._first, return_exceptions=True)
        self._patience.close()
        await self._stream.aclose()

    async def next(self) -> ModelEvent | None:
        """Return the next event, None behind the `Finish`. Raises as `first` does."""
        if self._is_over:
            return None
        if self.out_of_time:
            return self._run_out()
        self._patience.begin(self._deadline_s)
        try:
            event = await anext(self._stream)
        except StopAsyncIteration:
            message = f"{self.deployment.model.name} ended without saying how"
            raise UpstreamError("malformed", message) from None
        except asyncio.CancelledError:
            if not self._patience.ran_out():
                raise
            return self._run_out()
        self._patience.end()
        self._note(event)
        self._is_over = isinstance(event, Finish)
        return event

    def _run_out(self) -> ModelEvent:
        """Return what ends an answer whose time is over; the usage first, if nobody told it."""
        self.out_of_time = True
        if not self.has_text:
            raise UpstreamError("timeout", "the time for one answer is over")
        if self._usage is None:
            self._usage = estimate_usage(self._request, self._chars)
            return self._usage
        self._is_over = True
        return Finish("length")

    def _note(self, event: ModelEvent) -> None:
        if self.took_s is None:
            self.took_s = loop_s() - self._began_s
            self.deployment.answered(self._permit, loop_s())
        if isinstance(event, TextDelta):
            self.has_text = True
            self._chars += len(event.text)
        elif isinstance(event, Usage):
            self._usage = event
