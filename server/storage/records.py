"""The rows of the store of record, as values. Times are Unix milliseconds unless they say else."""

from __future__ import annotations

from typing import Literal

import msgspec

Action = Literal["accept", "reject", "modify", "rate", "dismiss"]
DECIDED: tuple[Action, ...] = ("accept", "reject", "modify")
"""Actions that decide about an answer or item; rates and dismissals are counted apart."""


class Row(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of what the writer writes. `tenant` comes from the principal, never from a payload."""

    tenant: str = ""


class FeedbackRow(Row, frozen=True, kw_only=True, tag="feedback"):
    """One judgement. `event_id` is the client's UUID in canonical form and the idempotency key.

    `payload_sha256` (hex) is over what the client sent, so that the same id with other content is
    told from a repetition. `occurred_at` is the client's own time as it was written (RFC 3339),
    `received_at` ours. The facts of the answer (`product_id` to `confidence`) come from its receipt
    or from the interaction log, never from the client; `item_type` is of the item judged where
    it is known. `weight` is 1, less for a principal over its daily cap.
    """

    event_id: str
    response_id: str
    action: Action
    received_at: int
    payload_sha256: str
    item_id: str | None = None
    item_type: str | None = None
    score: int | None = None
    final_text: str | None = None
    tags: tuple[str, ...] = ()
    comment: str | None = None
    occurred_at: str | None = None
    metadata: dict[str, str] = {}
    user_id: str | None = None
    product_id: str | None = None
    scenario: str | None = None
    prompt_version: str | None = None
    model: str | None = None
    arm: str | None = None
    manual_sha256: str | None = None
    confidence: float | None = None
    weight: float = 1.0


class InteractionRow(Row, frozen=True, kw_only=True, tag="interaction"):
    """One question and its final facts. `response_id` is its key; `started_at` is our time.

    `principal` is the name of the key or token that asked, empty on a server without keys.
    """

    response_id: str
    started_at: int
    outcome: str
    question: str
    answer: str
    items: bytes
    """The items as JSON."""
    finish_reason: str
    language: str
    latency_ms: float
    previous_response_id: str | None = None
    user_id: str | None = None
    product_id: str | None = None
    scenario: str | None = None
    prompt_version: str | None = None
    model: str | None = None
    arm: str | None = None
    fallback: str | None = None
    manual_sha256: str | None = None
    manual_status: str | None = None
    answer_cache: str | None = None
    confidence: float | None = None
    is_confused: bool = False
    guidance: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    principal: str = ""


AnyRow = FeedbackRow | InteractionRow


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the store refuses, with its original bytes and the reason. `id` is the store's."""

    id: int
    received_at: int
    original: bytes
    reason: str
    attempts: int = 1


Written = Literal["inserted", "duplicate", "conflict"]
"""What became of a row: `conflict` is the same id with another payload; the first one stays."""


def encode_row(row: AnyRow) -> bytes:
    """Return the row as JSON: its form in the journal and among the dead letters."""
    return msgspec.json.encode(row)


def decode_row(data: bytes) -> AnyRow:
    """Return the row in `data`; raises `msgspec.DecodeError` or `msgspec.ValidationError`."""
    row: AnyRow = msgspec.json.decode(data, type=AnyRow)
    return row
