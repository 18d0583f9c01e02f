"""What is learnt of an answer while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.events import CacheState, FallbackName, Usage
from server.answering.bills import Bill
from server.answering.preparing import Preparation
from server.answering.question import Question

NOTHING_USED = Usage(input_tokens=0, output_tokens=0, cached_tokens=0, estimated=False)


@dataclass(slots=True)
class Facts:
    """What is learnt of an answer while it runs. Times are monotonic seconds."""

    question: Question
    preparation: Preparation | None = None
    answer_cache: CacheState = "miss"
    model: str | None = None
    fallback: FallbackName | None = None
    signal: float | None = None
    bill: Bill | None = None
    first_token_at: float | None = None


def usage_of(bill: Bill | None) -> Usage:
    """Return the usage as the client is told of it."""
    if bill is None:
        return NOTHING_USED
    used = bill.usage
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.cached_tokens,
        estimated=used.estimated,
    )
