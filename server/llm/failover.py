"""Models tried in order: when one fails another goes on, within limits, and the reader is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from protocol.events import AttemptReason
from server.llm.attempts import Attempt, ChainEvent, Ended, Reset
from server.llm.calls import Call, loop_s
from server.llm.choosing import Chooser, Turn, WithheldCallback
from server.llm.cooling import Cooling
from server.llm.deployments import Deployment, StateCallback, cooling_s, deploy
from server.llm.hedging import Hedging
from server.llm.port import Model, ModelRequest, UpstreamError, UpstreamErrorKind

ErrorCallback = Callable[[str, UpstreamErrorKind], None]


class Chain:
    """An ordered choice of models.

    `answer_timeout_s` bounds one answer over all attempts, `hedge_floor_s` is the least wait
    before a second model is asked beside a silent one (0: never). `on_error(model, kind)` is
    called for every failed attempt, `on_state(model, state)` when a breaker moves,
    `on_withheld(model, why)` for each call that was not made.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        answer_timeout_s: float = 60.0,
        hedge_floor_s: float = 0.0,
        on_error: ErrorCallback = lambda model, kind: None,
        on_state: StateCallback = lambda model, state: None,
        on_withheld: WithheldCallback = lambda model, why: None,
    ) -> None:
        self.deployments = deploy(models, on_state)
        self._answer_timeout_s = answer_timeout_s
        self._on_error = on_error
        self._on_withheld = on_withheld
        self._chooser = Chooser(self.deployments, on_withheld)
        several = sum(not one.is_fallback for one in self.deployments) > 1
        self._hedging = Hedging(hedge_floor_s if several else 0.0)
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, in the order in which they are tried."""
        return tuple(one.model for one in self.deployments)

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in the same order."""
        return tuple(one.model.name for one in self.deployments)

    @property
    def has_fallback(self) -> bool:
        """Whether something stands in when no model may be asked."""
        return any(one.is_fallback for one in self.deployments)

    def share_cooling(self, cooling: Cooling) -> None:
        """Rest models together with other nodes; to be called before the first request."""
        self._chooser.cooling = cooling

    async def stream(
        self, request: ModelRequest, *, fallback_only: bool = False
    ) -> AsyncGenerator[ChainEvent, None]:
        """Answer the request: an `Attempt` before each model's events, one `Finish` at the end.

        A model that fails gives way to the next one, at most `MAX_CALLS` of them and within the
        retry budget; a fallback needs neither. Once text has been given that happens one time,
        behind a `Reset`. When nobody is left, the error that says most about a later try is
        raised; text that was given then stays. With `fallback_only` no model is called. Closing
        the generator closes the upstreams at once.
        """
        turn = self._turn(request, fallback_only)
        try:
            call = await self._next_call(turn)
            while call is not None:
                yield call.attempt
                turn.speaking = call
                try:
                    async with aclosing(self._begin_to_speak(call, turn)) as events:
                        async for event in events:
                            yield event
                    call = turn.speaking
                    while (word := await call.next()) is not None:
                        yield word
                    return
                except UpstreamError as error:
                    turn.out_of_time = turn.speaking.out_of_time
                    yield await self._fail(turn.speaking, error, turn)
                    call = None if turn.is_over else await self._next_call(turn)
                    if call is None and (turn.has_text or turn.out_of_time):
                        raise
                    if turn.has_text:
                        turn.speaking, turn.was_reset = None, True
                        yield Reset(error.kind)
            raise turn.error()
        finally:
            for one in turn.open:
                await one.aclose()

    def _turn(self, request: ModelRequest, fallback_only: bool) -> Turn:
        self._chooser.asked()
        deadline_s = loop_s() + self._answer_timeout_s
        return Turn(request, deadline_s, self._hedging.asked(), fallback_only)

    async def _next_call(self, turn: Turn) -> Call | None:
        """Begin the next call, or None when nobody may be asked any more."""
        chosen = await self._chooser.next(turn)
        return self._begin(chosen, turn) if chosen is not None else None

    def _begin(
        self, deployment: Deployment, turn: Turn, reason: AttemptReason | None = None
    ) -> Call:
        name = deployment.model.name
        turn.attempts += 1
        turn.calls += not deployment.is_fallback
        turn.tried.add(deployment.label)
        if deployment.is_fallback:
            attempt = Attempt(turn.attempts, name, "fallback", "extractive")
        else:
            attempt = Attempt(turn.attempts, name, reason or self._reason(deployment, turn))
        turn.latest = name
        call = Call(deployment, attempt, turn.request, turn.deadline_s)
        turn.open.append(call)
        return call

    def _reason(self, deployment: Deployment, turn: Turn) -> AttemptReason:
        if deployment is self.deployments[0] and turn.attempts == 1:
            return "first"
        return "retry" if deployment.model.name == turn.latest else "failover"

    async def _begin_to_speak(self, call: Call, turn: Turn) -> AsyncGenerator[ChainEvent, None]:
        """Yield the first event of one call, or of a hedge that is faster: `turn.speaking` then."""
        timed: Call | None = call if turn.hedge_after_s is not None and turn.attempts == 1 else None
        rival = await self._hedge(call, turn)
        if rival is not None:
            yield rival.attempt
            turn.speaking, ended = await self._race(call, rival, turn)
            yield ended
            call = turn.speaking
        first = await call.first()
        if timed is not None and turn.hedge_after_s is not None:
            self._hedging.spoke(timed.waited_s, turn.hedge_after_s)
        if first is not None:
            yield first

    async def _hedge(self, call: Call, turn: Turn) -> Call | None:
        """Begin a call beside `call` when that is silent for too long and a hedge is allowed."""
        if turn.hedge_after_s is None or turn.attempts > 1 or call.deployment.is_fallback:
            return None
        if await call.speaks_within(turn.hedge_after_s):
            return None
        chosen = await self._chooser.untried(turn)
        if chosen is None or chosen.is_fallback:
            return None
        if not self._hedging.take():
            self._on_withheld(chosen.label, "hedge_budget")
            return None
        return self._begin(chosen, turn, "hedge")

    async def _race(self, call: Call, rival: Call, turn: Turn) -> tuple[Call, Ended]:
        """Return the call that goes on and how the other one ended.

        The first to say anything goes on; one that fails in silence leaves it to the other.
        """
        both = {call.listen(), rival.listen()}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        first, other = (call, rival) if call.listen().done() else (rival, call)
        error = first.listen().exception()
        if isinstance(error, UpstreamError):
            return other, await self._fail(first, error, turn, heir=other.attempt)
        turn.open.remove(other)
        closing = asyncio.create_task(other.aclose(), name="model-hedge-close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return first, other.lost(first.attempt)

    async def _fail(
        self, call: Call, error: UpstreamError, turn: Turn, heir: Attempt | None = None
    ) -> Ended:
        turn.errors.append(error)
        self._on_error(call.deployment.model.name, error.kind)
        ended = call.failed(error, heir)
        if cooling_s(error) > 0:
            await self._chooser.cooling.cool(call.deployment.label, cooling_s(error))
        return ended

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
        if self._closing:
            await asyncio.wait(self._closing)
        for model in self.models:
            await model.aclose()
