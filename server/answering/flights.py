"""Model calls in flight: identical questions share one, and what came is kept for the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from protocol.errors import EventError
from server.answering.admission import Admission, Standing
from server.answering.answer_cache import FORMAT_VERSION, AnswerCache, CachedAnswer
from server.answering.bills import Bill, bill_of, charges_of
from server.answering.model_run import ModelRun
from server.answering.model_spans import traced
from server.answering.spending import Caps, Hold, SpendCapError, Spending
from server.answering.topics import Asker
from server.llm.chain import Attempt, Chain, ChainEvent, Ended, Reset
from server.llm.port import Finish, ModelRequest, TextDelta, Usage
from server.llm.prices import Prices
from server.llm.usage import estimate_usage
from server.telemetry.metrics import Metrics


class Flights:
    """Starts model calls when there is a place for them, shares them by key, and accounts for each
    once.
    """

    def __init__(
        self,
        chain: Chain,
        cache: AnswerCache,
        prices: Prices,
        metrics: Metrics,
        admission: Admission,
        spending: Spending | None = None,
    ) -> None:
        self._chain = chain
        self._admission = admission
        self._spending = spending or Spending(Caps(), metrics, time.time)
        self._cache = cache
        self._prices = prices
        self._metrics = metrics
        self._by_key: dict[str, ModelRun] = {}
        self._writes: set[asyncio.Task[None]] = set()

    async def join(
        self, key: str | None, request: ModelRequest, standing: Standing, asker: Asker
    ) -> tuple[ModelRun, bool]:
        """Return the call for `request`, joined, and whether it was there before.

        `key` None means that the answer is neither shared nor kept. The call may still wait for
        its place. Who has no money left gets what stands in for a model and costs nothing. Raises
        `EventError`: `rate_limited` when there is no such thing, `overloaded` when too many wait.
        """
        run = self._join_running(key, standing)
        if run is not None:
            return run, True
        fallback_only = False
        try:
            hold = await self._spending.hold(asker, self._most_usd(request))
        except SpendCapError:
            if not self._chain.has_fallback:
                raise
            hold = await self._spending.hold(asker, 0.0)
            key, fallback_only = None, True
        run = self._join_running(key, standing)  # somebody may have begun meanwhile
        if run is not None:
            hold.settle(0.0)
            return run, True
        return self._begin(key, request, standing, hold, fallback_only), False

    def _join_running(self, key: str | None, standing: Standing) -> ModelRun | None:
        run = self._by_key.get(key) if key is not None else None
        if run is None or not run.joinable:
            return None
        run.join()
        run.place.press(standing.priority)
        return run

    def _begin(
        self,
        key: str | None,
        request: ModelRequest,
        standing: Standing,
        hold: Hold,
        fallback_only: bool,
    ) -> ModelRun:
        try:
            place = self._admission.enter(standing)
        except EventError:
            hold.settle(0.0)
            raise
        events = self._chain.stream(request, fallback_only=fallback_only)
        landing = self._landing(key, request, hold)
        run = ModelRun(traced(events, request), landing, place)
        run.join()
        if key is not None:
            self._by_key[key] = run
        return run

    def _most_usd(self, request: ModelRequest) -> float:
        """Return what one call may cost at most, by the dearest model of the chain."""
        if not self._spending.has_caps:
            return 0.0
        given = estimate_usage(request, 0).input_tokens
        usage = Usage(given, request.max_output_tokens, estimated=True)
        return max(self._prices.cost_usd(name, usage) or 0.0 for name in self._chain.names)

    def bill(self, events: Iterable[ChainEvent], request: ModelRequest) -> Bill:
        """Return what a call has used, over all its attempts."""
        return bill_of(charges_of(events, request), self._prices)

    def _landing(
        self, key: str | None, request: ModelRequest, hold: Hold
    ) -> Callable[[ModelRun], None]:
        def land(run: ModelRun) -> None:
            if key is not None and self._by_key.get(key) is run:
                del self._by_key[key]
            self._account(run, request)
            hold.settle(self.bill(run.seen, request).cost_usd or 0.0)
            answer = _cacheable(run, self._chain.names[0]) if key is not None else None
            if key is not None and answer is not None:
                task = asyncio.create_task(self._cache.put(key, answer), name="answer-cache-put")
                self._writes.add(task)
                task.add_done_callback(self._writes.discard)

        return land

    def _account(self, run: ModelRun, request: ModelRequest) -> None:
        for event in run.seen:
            if isinstance(event, Attempt):
                self._metrics.count("upstream_attempts_total", event.model, event.reason)
        for charge in charges_of(run.seen, request):
            model, usage = charge.model, charge.usage
            self._metrics.count("tokens_total", model, "input", by=usage.input_tokens)
            self._metrics.count("tokens_total", model, "output", by=usage.output_tokens)
            self._metrics.count("tokens_total", model, "cached", by=usage.cached_tokens)
            cost_usd = self._prices.cost_usd(model, usage)
            if cost_usd is not None:
                self._metrics.count("cost_usd_total", model, by=cost_usd)

    async def aclose(self) -> None:
        """Wait for what is being kept, end what still runs."""
        await asyncio.gather(*(run.aclose() for run in list(self._by_key.values())))
        if self._writes:
            await asyncio.wait(self._writes)
        await self._spending.aclose()


def _cacheable(run: ModelRun, first_choice: str) -> CachedAnswer | None:
    """Return the answer to keep: one of the first choice that ended of itself, whole."""
    if not run.succeeded:
        return None
    attempt: Attempt | None = None
    finish: Finish | None = None
    text: list[str] = []
    for event in run.seen:
        match event:
            case Attempt():
                attempt = event
            case Ended():
                attempt = event.heir or attempt
            case Reset():
                text.clear()
            case TextDelta():
                text.append(event.text)
            case Finish():
                finish = event
    if attempt is None or finish is None or finish.reason != "stop":
        return None
    if attempt.model != first_choice or attempt.fallback is not None:
        return None  # what another said must not stand in for the first choice later
    return CachedAnswer(
        version=FORMAT_VERSION,
        text="".join(text),
        model=attempt.model,
        fallback=attempt.fallback,
        signal=finish.signal,
    )
