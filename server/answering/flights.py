"""Model calls in flight: identical questions share one, and what came is kept for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from server.answering.admission import Admission, Standing
from server.answering.answer_cache import FORMAT_VERSION, AnswerCache, CachedAnswer
from server.answering.bills import Bill, bill_of, charges_of
from server.answering.model_run import ModelRun
from server.answering.model_spans import traced
from server.llm.chain import Attempt, Chain, ChainEvent, Ended, Reset
from server.llm.port import Finish, ModelRequest, TextDelta
from server.llm.prices import Prices
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
    ) -> None:
        self._chain = chain
        self._admission = admission
        self._cache = cache
        self._prices = prices
        self._metrics = metrics
        self._by_key: dict[str, ModelRun] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def join(
        self, key: str | None, request: ModelRequest, standing: Standing
    ) -> tuple[ModelRun, bool]:
        """Return the call for `request`, joined, and whether it was there before.

        `key` None means that the answer is neither shared nor kept. The call may still wait for
        its place. Raises `EventError("overloaded")` when too many wait.
        """
        run = self._by_key.get(key) if key is not None else None
        if run is not None and run.joinable:
            run.join()
            run.place.press(standing.priority)
            return run, True
        place = self._admission.enter(standing)
        run = ModelRun(
            traced(self._chain.stream(request), request), self._landing(key, request), place
        )
        run.join()
        if key is not None:
            self._by_key[key] = run
        return run, False

    def bill(self, events: Iterable[ChainEvent], request: ModelRequest) -> Bill:
        """Return what a call has used, over all its attempts."""
        return bill_of(charges_of(events, request), self._prices)

    def _landing(self, key: str | None, request: ModelRequest) -> Callable[[ModelRun], None]:
        def land(run: ModelRun) -> None:
            if key is not None and self._by_key.get(key) is run:
                del self._by_key[key]
            self._account(run, request)
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
