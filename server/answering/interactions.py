"""The row of the interaction log: every question, whatever became of it."""

from __future__ import annotations

import msgspec

from protocol.answer import AnswerStream
from protocol.events import FinishReason
from server.answering.confidence import Judgement
from server.answering.facts import Facts, usage_of
from server.storage.records import InteractionRow


def interaction_of(
    facts: Facts,
    stream: AnswerStream,
    judgement: Judgement,
    *,
    outcome: str,
    finish_reason: FinishReason,
    latency_ms: float,
) -> InteractionRow:
    """Return the row; `outcome` is the answer's status, or `abandoned`."""
    question, preparation, bill = facts.question, facts.preparation, facts.bill
    usage = usage_of(bill)
    return InteractionRow(
        tenant=question.tenant,
        response_id=question.response_id,
        started_at=question.created_at * 1000,
        outcome=outcome,
        question=question.text,
        answer=stream.output_text,
        items=msgspec.json.encode(stream.items),
        finish_reason=finish_reason,
        language=question.language,
        latency_ms=latency_ms,
        previous_response_id=question.event.previous_response_id or None,
        user_id=question.event.user_id or None,
        product_id=question.product.id,
        scenario=question.event.scenario,
        prompt_version=question.prompt_path,
        model=facts.model,
        fallback=facts.fallback,
        manual_sha256=preparation.manual_sha256 if preparation else None,
        manual_status=preparation.view.status if preparation else None,
        answer_cache=facts.answer_cache,
        confidence=judgement.confidence,
        is_confused=judgement.is_confused,
        guidance=judgement.guidance,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=bill.cost_usd if bill else 0.0,
        principal=question.asker.name,
    )
