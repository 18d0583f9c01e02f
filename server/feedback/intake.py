"""From a client's `feedback.create` to the row that is stored: what is checked, what is added.

Pure: the caller brings the clock, the principal and what is known of the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import RFC_4122, UUID

import msgspec
from msgspec import UNSET, UnsetType

from protocol.errors import EventError
from protocol.messages import FeedbackCreate
from protocol.receipts import Receipt, verify
from server.storage.records import FeedbackRow, InteractionRow

Value = TypeVar("Value", str, int)

MAX_AHEAD_MS = 10 * 60_000
"""How far a client's clock may run ahead of ours before its ids would land in a later partition."""

RETENTION_MS = 400 * 86_400_000
"""Default age beyond which an id is refused: the partition it belongs to may be gone."""


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What is known of an answer, from its receipt or from where it was made or stored.

    `tenant` and `user_id` are of the asker; None is unknown, as the user in a receipt. `items`
    maps an item id to its type.
    """

    response_id: str
    tenant: str | None = None
    user_id: str | None = None
    product_id: str | None = None
    scenario: str | None = None
    prompt_version: str | None = None
    model: str | None = None
    arm: str | None = None
    manual_sha256: str | None = None
    confidence: float | None = None
    items: Mapping[str, str] = field(default_factory=dict)


def facts_of_receipt(receipt: Receipt) -> AnswerFacts:
    """Return the facts that a verified receipt vouches for."""
    parts = receipt.prompt.split("/")  # name/scenario/version
    return AnswerFacts(
        response_id=receipt.response_id,
        tenant=receipt.tenant,
        product_id=receipt.product_id,
        scenario=parts[1] if len(parts) == 3 else None,
        prompt_version=receipt.prompt,
        model=receipt.model,
        arm=receipt.arm,
        manual_sha256=receipt.manual_sha256,
        confidence=receipt.confidence,
    )


def facts_of_interaction(row: InteractionRow) -> AnswerFacts:
    """Return the facts of an answer that the interaction log holds."""
    return AnswerFacts(
        response_id=row.response_id,
        tenant=row.tenant,
        user_id=row.user_id,
        product_id=row.product_id,
        scenario=row.scenario,
        prompt_version=row.prompt_version,
        model=row.model,
        arm=row.arm,
        manual_sha256=row.manual_sha256,
        confidence=row.confidence,
        items=_items(row.items),
    )


def resolve(
    event: FeedbackCreate,
    *,
    keys: Sequence[bytes],
    known: AnswerFacts | None,
    tenant: str,
    owner: str | None = None,
) -> AnswerFacts:
    """Return the facts of the answer that `event` judges.

    A receipt suffices; without one the answer must be `known` here. Either way it must be of the
    same tenant, and a known one, when `owner` is given, asked by that user. Raises `EventError`:
    `invalid_receipt`, or `response_not_found` in the same words whether the answer is unknown or
    somebody else's.
    """
    signed = None if event.receipt is UNSET else verify(event.receipt, keys)
    if signed is not None and signed.response_id != event.response_id:
        raise EventError(
            "invalid_receipt",
            "`receipt` is of another answer; send the one of the answer that is judged",
            param="receipt",
            event_id=event.event_id,
        )
    if known is not None and not _may_judge(known, tenant, owner):
        raise _not_found(event)
    if signed is None:
        if known is None:
            raise _not_found(event)
        return known
    facts = facts_of_receipt(signed)
    if facts.tenant != tenant:
        raise _not_found(event)
    if known is None:
        return facts
    return replace(facts, scenario=known.scenario or facts.scenario, items=known.items)


def judge(
    event: FeedbackCreate,
    *,
    facts: AnswerFacts | None,
    now_ms: int,
    user_id: str | None,
    tenant: str,
    weight: float = 1.0,
    retention_ms: int = RETENTION_MS,
) -> FeedbackRow:
    """Return the row of one judgement.

    What the client sent is kept byte for byte, its id in canonical form. `tenant` and `user_id`
    are the principal's, `facts` those of `resolve`. Raises `EventError`: `response_not_found`
    without facts, `invalid_event` for an id whose time is out of range.
    """
    if facts is None or facts.response_id != event.response_id:
        raise _not_found(event)
    item_id = _given(event.item_id)
    return FeedbackRow(
        tenant=tenant,
        event_id=_canonical_id(event.event_id, now_ms, retention_ms),
        response_id=event.response_id,
        action=event.action,
        received_at=now_ms,
        payload_sha256=digest(event),
        item_id=item_id,
        item_type=facts.items.get(item_id or ""),
        score=_given(event.score),
        final_text=_given(event.final_text),
        tags=tuple(event.tags),
        comment=_given(event.comment),
        occurred_at=_given(event.occurred_at),
        metadata=event.metadata,
        user_id=user_id,
        product_id=facts.product_id,
        scenario=facts.scenario,
        prompt_version=facts.prompt_version,
        model=facts.model,
        arm=facts.arm,
        manual_sha256=facts.manual_sha256,
        confidence=facts.confidence,
        weight=weight,
    )


def digest(event: FeedbackCreate) -> str:
    """Return the SHA-256 (hex) of what the client sent, without its `event_id`.

    Over compact JSON with sorted keys, so that the order of fields and a spelling of the id make
    no difference, and the same id with other content does.
    """
    payload = msgspec.to_builtins(event)
    del payload["event_id"]
    return hashlib.sha256(msgspec.json.encode(payload, order="deterministic")).hexdigest()


def _canonical_id(text: str, now_ms: int, retention_ms: int) -> str:
    found = UUID(text)
    if found.variant == RFC_4122 and found.version == 7:
        made_ms = found.int >> 80
        if made_ms > now_ms + MAX_AHEAD_MS:
            raise _bad_id(text, "future id: its time is more than 10 minutes ahead of ours")
        if made_ms < now_ms - retention_ms:
            raise _bad_id(text, "stale id: judgements of that time are no longer kept")
    return str(found)


def _bad_id(event_id: str, reason: str) -> EventError:
    message = f"`event_id` is a {reason}; correct the clock and send a new id"
    return EventError("invalid_event", message, param="event_id", event_id=event_id)


def _not_found(event: FeedbackCreate) -> EventError:
    return EventError(
        "response_not_found",
        "There is no such answer, or it is not yours; send its receipt along",
        event_id=event.event_id,
        response_id=event.response_id,
    )


def _may_judge(known: AnswerFacts, tenant: str, owner: str | None) -> bool:
    if known.tenant is not None and known.tenant != tenant:
        return False
    return owner is None or known.user_id == owner


class _Item(msgspec.Struct, frozen=True):
    id: str
    type: str


def _items(raw: bytes) -> dict[str, str]:
    try:
        items = msgspec.json.decode(raw or b"[]", type=list[_Item])
    except msgspec.DecodeError:
        return {}
    return {item.id: item.type for item in items}


def _given(value: Value | UnsetType) -> Value | None:
    return None if value is UNSET else value
