"""What a client may say: one frozen type for each event, with its limits beside each field."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

# Limits of single fields; what is longer is refused with `invalid_event` and the field's name.
MAX_EVENT_ID_CHARS = 64  # ids are logged and echoed
MAX_QUERY_CHARS = 200  # a product name, not a text
MAX_INPUT_CHARS = 4000  # a long question, far below the frame limit
MAX_HISTORY_TURNS = 20  # the server keeps no conversation, so the client sends it each time
MAX_HISTORY_CHARS = 16_000  # one earlier answer
MAX_COMMENT_CHARS = 4000
MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512
MAX_TAGS = 20
MAX_ISSUES = 20

EventId = Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID_CHARS)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
UserId = Annotated[str, Meta(min_length=1, max_length=128)]
ResponseId = Annotated[str, Meta(min_length=1, max_length=64)]
Receipt = Annotated[str, Meta(max_length=4096)]
Language = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
Comment = Annotated[str, Meta(max_length=MAX_COMMENT_CHARS)]
Position = Annotated[int, Meta(ge=-1, le=2**53)]
Epoch = Annotated[int, Meta(ge=1, le=2**53)]
Metadata = Annotated[
    dict[
        Annotated[str, Meta(max_length=MAX_METADATA_KEY_CHARS)],
        Annotated[str, Meta(max_length=MAX_METADATA_VALUE_CHARS)],
    ],
    Meta(max_length=MAX_METADATA_PAIRS),
]

Category = Literal[
    "compliance_violation",
    "tone_inappropriate",
    "length_issue",
    "relevance_low",
    "factual_error",
    "language_quality",
    "target_mismatch",
    "formatting_error",
    "brand_violation",
    "technical_issue",
]
Topic = Literal["acceptance", "calibration", "drift", "experiments", "queue", "traffic"]


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all messages: immutable, keyword only, told apart by `type`."""


class Value(Struct, frozen=True, kw_only=True):
    """Base of the values inside messages."""


class HistoryTurn(Value, frozen=True, kw_only=True):
    """One earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Meta(max_length=MAX_HISTORY_CHARS)]


class Issue(Value, frozen=True, kw_only=True):
    """One thing that is wrong in a rejected answer."""

    quote: Annotated[str, Meta(max_length=MAX_COMMENT_CHARS)]
    problem: Comment
    suggestion: Comment | UnsetType = UNSET


class ClientEvent(Message, frozen=True, kw_only=True):
    """Base of what clients send; `event_id` is echoed in what answers it."""

    event_id: EventId | UnsetType = UNSET


class SessionUpdate(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change what holds for the whole connection."""

    token: Annotated[str, Meta(max_length=8192)] | UnsetType = UNSET
    user_id: UserId | UnsetType = UNSET
    language: Language | UnsetType = UNSET


class Ping(ClientEvent, frozen=True, kw_only=True, tag="ping"):
    """Ask for a `pong`."""


class CatalogSearch(ClientEvent, frozen=True, kw_only=True, tag="catalog.search"):
    """Search products while typing."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY_CHARS)]
    limit: Annotated[int, Meta(ge=1, le=50)] = 8


class ResponseCreate(ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask a question about a product."""

    input: Annotated[str, Meta(min_length=1, max_length=MAX_INPUT_CHARS)]
    product_id: Name | UnsetType = UNSET
    task: Literal["answer", "improve"] = "answer"
    scenario: Name = "general"
    history: Annotated[list[HistoryTurn], Meta(max_length=MAX_HISTORY_TURNS)] = []
    user_id: UserId | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    previous_response_id: ResponseId | UnsetType = UNSET
    metadata: Metadata = {}

    def __post_init__(self) -> None:
        if not self.input.strip():
            raise ValueError("`input` is blank; send the question")
        if self.task == "answer" and self.product_id is UNSET:
            raise ValueError("`product_id` is required when `task` is `answer`")


class ResponseCancel(ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop an answer that is running."""

    response_id: ResponseId


class ResponseResume(ClientEvent, frozen=True, kw_only=True, tag="response.resume"):
    """Take up an answer after its last event that arrived."""

    response_id: ResponseId
    epoch: Epoch
    starting_after: Position


class ResponseRegenerate(ClientEvent, frozen=True, kw_only=True, tag="response.regenerate"):
    """Ask for a better answer, with the reason."""

    response_id: ResponseId
    receipt: Receipt | UnsetType = UNSET
    category: Category | UnsetType = UNSET
    severity: Literal["critical", "major", "minor"] | UnsetType = UNSET
    comment: Comment | UnsetType = UNSET
    issues: Annotated[list[Issue], Meta(max_length=MAX_ISSUES)] = []
    strategy: Literal["auto", "advanced", "template"] = "auto"
    urgency: Literal["critical", "high", "normal", "low"] = "normal"
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 1400


# RFC 3339: a full date, a time with seconds, and an offset.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


class FeedbackCreate(ClientEvent, frozen=True, kw_only=True, tag="feedback.create"):
    """Judge an answer or one item of it. `event_id` is the idempotency key."""

    event_id: EventId
    response_id: ResponseId
    action: Literal["accept", "reject", "modify", "rate", "dismiss"]
    item_id: ResponseId | UnsetType = UNSET
    score: Annotated[int, Meta(ge=1, le=5)] | UnsetType = UNSET
    final_text: Annotated[str, Meta(max_length=16_000)] | UnsetType = UNSET
    tags: Annotated[list[Category], Meta(max_length=MAX_TAGS)] = []
    comment: Comment | UnsetType = UNSET
    receipt: Receipt | UnsetType = UNSET
    occurred_at: Annotated[str, Meta(max_length=40)] | UnsetType = UNSET
    min_level: Literal["logged", "committed"] = "logged"
    metadata: Metadata = {}

    def __post_init__(self) -> None:
        try:
            UUID(self.event_id)
        except ValueError:
            raise ValueError("`event_id` must be a UUID; UUIDv7 is preferred") from None
        if self.action == "rate" and self.score is UNSET:
            raise ValueError("`score` (1 to 5) is required when `action` is `rate`")
        if self.action == "modify" and self.final_text is UNSET:
            raise ValueError("`final_text` is required when `action` is `modify`")
        if self.occurred_at is not UNSET:
            _require_rfc3339(self.occurred_at)


def _require_rfc3339(text: str) -> None:
    remedy = "`occurred_at` must be an RFC 3339 time such as 2026-11-21T10:00:00Z"
    if not _RFC3339.fullmatch(text):
        raise ValueError(remedy)
    try:
        datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(remedy) from None


class InsightsSubscribe(ClientEvent, frozen=True, kw_only=True, tag="insights.subscribe"):
    """Follow statistics live."""

    topics: Annotated[list[Topic], Meta(min_length=1, max_length=6)]


class InsightsUnsubscribe(ClientEvent, frozen=True, kw_only=True, tag="insights.unsubscribe"):
    """Stop following statistics."""

    topics: Annotated[list[Topic], Meta(min_length=1, max_length=6)]


AnyClientEvent = (
    SessionUpdate
    | Ping
    | CatalogSearch
    | ResponseCreate
    | ResponseCancel
    | ResponseResume
    | ResponseRegenerate
    | FeedbackCreate
    | InsightsSubscribe
    | InsightsUnsubscribe
)

CLIENT_EVENTS: dict[str, type[AnyClientEvent]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        SessionUpdate,
        Ping,
        CatalogSearch,
        ResponseCreate,
        ResponseCancel,
        ResponseResume,
        ResponseRegenerate,
        FeedbackCreate,
        InsightsSubscribe,
        InsightsUnsubscribe,
    )
}
