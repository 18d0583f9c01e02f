"""The span of a whole answer: where its trace begins here, and what it says at the end."""

from __future__ import annotations

from server.answering.question import Question
from server.telemetry.tracing import Span, Tracer, current, heard

TRACEPARENT = "traceparent"
"""Key of a question's `metadata` by which a caller puts it into a trace of its own; stronger than
the header of the socket, which all questions on it share."""


def begin_span(tracer: Tracer, question: Question) -> Span:
    """Begin the span of an answer, in the trace that its caller named if any."""
    return tracer.begin(
        "answer",
        {
            "manicule.response_id": question.response_id,
            "manicule.product_id": question.product.id,
            "manicule.scenario": question.event.scenario,
            "gen_ai.prompt.name": question.prompt_path,
        },
        traceparent=question.event.metadata.get(TRACEPARENT) or heard(),
    )


def describe_span(outcome: str, error: str | None, model: str | None, cache: str) -> None:
    """Say of the current span how the answer ended."""
    span = current()
    span.set({"manicule.outcome": outcome, "manicule.answer_cache": cache})
    if model:
        span.set({"gen_ai.response.model": model})
    if error:
        span.fail(error)
