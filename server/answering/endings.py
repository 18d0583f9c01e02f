"""How an answer ended: the final facts for the client, one log line, the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from msgspec import UNSET

from protocol.answer import AnswerStream
from protocol.codec import error_facts
from protocol.errors import EventError
from protocol.events import (
    CacheFacts,
    FinalResponse,
    FinishReason,
    Timing,
    Usage,
)
from protocol.receipts import Receipt, sign
from server.answering.answer_span import describe_span
from server.answering.confidence import Judgement, Thresholds, assess
from server.answering.facts import Facts, usage_of
from server.answering.interactions import interaction_of
from server.storage.records import InteractionRow
from server.telemetry.metrics import Metrics

log = structlog.get_logger("manicule")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an answer ended. `outcome` is for logs and metrics where it says more than the status."""

    status: Literal["completed", "incomplete", "failed", "cancelled"]
    finish_reason: FinishReason
    error: EventError | None = None
    outcome: Literal["abandoned"] | None = None


class Recorder:
    """Concludes answers.

    `key` signs receipts, `wall_clock` gives Unix seconds, `on_interaction` takes the row of each
    question, whatever became of it; it must not block.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        thresholds: Thresholds,
        key: bytes,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        on_interaction: Callable[[InteractionRow], None],
    ) -> None:
        self._metrics = metrics
        self._thresholds = thresholds
        self._key = key
        self._clock = clock
        self._wall_clock = wall_clock
        self._on_interaction = on_interaction

    def conclude(self, facts: Facts, ending: Ending, stream: AnswerStream) -> FinalResponse:
        """Return the final facts, logged and counted. Ends the stream's text first."""
        stream.end_text()
        judgement = self._judge(facts)
        timing = self._timing(facts)
        preparation, bill = facts.preparation, facts.bill
        final = FinalResponse(
            id=stream.response_id,
            status=ending.status,
            output_text=stream.output_text,
            items=tuple(stream.items),
            model=facts.model,
            prompt=facts.question.prompt_ref,
            experiment=None,
            finish_reason=ending.finish_reason,
            confidence=judgement.confidence,
            is_confused=judgement.is_confused,
            guidance=judgement.guidance,
            usage=usage_of(bill),
            cost_usd=bill.cost_usd if bill else 0.0,
            cache=CacheFacts(
                manual=preparation.view.status if preparation else "none",
                answer=facts.answer_cache,
            ),
            fallback=facts.fallback,
            timing_ms=timing,
            receipt=self._receipt(facts, judgement),
            error=error_facts(ending.error) if ending.error else UNSET,
        )
        outcome = ending.outcome or ending.status
        code = ending.error.code if ending.error else None
        describe_span(outcome, code, facts.model, facts.answer_cache)
        self._count(facts, outcome, final, stream)
        self._log(facts, outcome, final.usage, timing.total)
        self._on_interaction(
            interaction_of(
                facts,
                stream,
                judgement,
                outcome=outcome,
                finish_reason=ending.finish_reason,
                latency_ms=timing.total,
            )
        )
        return final

    def given_up(self, facts: Facts) -> None:
        """Note an answer that this process stopped writing; who writes its end records it."""
        scenario = facts.question.event.scenario
        self._metrics.count("queries_total", "given_up", scenario)
        self._log(facts, "given_up", usage_of(facts.bill), self._timing(facts).total)

    def _judge(self, facts: Facts) -> Judgement:
        preparation = facts.preparation
        return assess(
            preparation.context if preparation else None,
            model_signal=facts.signal,
            thresholds=self._thresholds,
        )

    def _timing(self, facts: Facts) -> Timing:
        received_at, preparation = facts.question.received_at, facts.preparation
        first = facts.first_token_at
        return Timing(
            manual=_ms(preparation.manual_s) if preparation else None,
            retrieval=_ms(preparation.retrieval_s) if preparation else None,
            first_token=_ms(first - received_at) if first is not None else None,
            total=_ms(self._clock() - received_at),
        )

    def _receipt(self, facts: Facts, judgement: Judgement) -> str:
        return sign(
            Receipt(
                response_id=facts.question.response_id,
                product_id=facts.question.product.id,
                manual_sha256=facts.preparation.manual_sha256 if facts.preparation else None,
                prompt=facts.question.prompt_path,
                arm=None,
                model=facts.model,
                confidence=judgement.confidence,
                time=int(self._wall_clock()),
                tenant=facts.question.tenant,
            ),
            self._key,
        )

    def _count(
        self, facts: Facts, outcome: str, final: FinalResponse, stream: AnswerStream
    ) -> None:
        metrics = self._metrics
        metrics.count("queries_total", outcome, facts.question.event.scenario)
        metrics.count("guidance_total", final.guidance)
        metrics.observe("query_duration_seconds", final.timing_ms.total / 1000)
        if final.timing_ms.first_token is not None:
            metrics.observe("first_token_seconds", final.timing_ms.first_token / 1000)
        if facts.preparation is not None:
            metrics.count("answer_cache_total", facts.answer_cache)
        for item in final.items:
            kind = str(item.__struct_config__.tag)
            metrics.count("items_total", kind)
            if kind == "citation":
                metrics.count("citations_total", "verified")
        for reason, number in stream.dropped.items():
            metrics.count("citations_total", reason, by=number)

    def _log(self, facts: Facts, outcome: str, usage: Usage, latency_ms: float) -> None:
        """Write the one line of an answer: never its question, never a person."""
        log.info(
            "query_completed",
            response_id=facts.question.response_id,
            product_id=facts.question.product.id,
            scenario=facts.question.event.scenario,
            outcome=outcome,
            latency_ms=latency_ms,
            cache_hit=facts.answer_cache != "miss",
            manual=facts.preparation.view.status if facts.preparation else None,
            token_count=usage.input_tokens + usage.output_tokens,
            model=facts.model,
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
