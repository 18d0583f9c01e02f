"""What the server may say: one frozen type for each event.

A field that may be absent is `| UnsetType`; a field that may be `null` is `| None`. Both are the
contract's own distinction (`?` against "or null").
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from protocol.errors import ErrorCode
from protocol.messages import Message, Value

Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Task = Literal["answer", "improve"]
Status = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
Stage = Literal["queued", "manual.fetching", "manual.extracting", "retrieving", "generating"]
ManualStatus = Literal["memory", "cache", "fetched", "stale", "unavailable", "none"]
CacheState = Literal["miss", "hit", "shared"]
Guidance = Literal["answer", "hedge", "rephrase", "abstain"]
AttemptReason = Literal["first", "retry", "hedge", "failover", "continue", "fallback"]
FallbackName = Literal["extractive", "similar", "template", "simplified", "approved", "default"]
FinishReason = Literal["stop", "length", "blocked", "cancelled", "deadline", "truncated", "error"]


# Items


class Item(Message, frozen=True, kw_only=True):
    """Base of the items. `offset`: the character of `output_text` at which it belongs."""

    id: str
    offset: Count


class Citation(Item, frozen=True, kw_only=True, tag="citation"):
    """A passage of the manual, verbatim.

    `start_char` and `end_char` are character offsets in the cached manual text (pages joined by
    form feeds); `verified` says that `cited_text` was compared with it there.
    """

    page: Annotated[int, Meta(ge=1)]
    cited_text: str
    start_char: Count
    end_char: Count
    verified: bool


class Suggestion(Item, frozen=True, kw_only=True, tag="suggestion"):
    """Something worth having or doing; `known` when it names a product of the catalog."""

    text: str
    known: bool
    product_id: str | UnsetType = UNSET


class ProTip(Item, frozen=True, kw_only=True, tag="pro_tip"):
    """A piece of experience."""

    text: str


class WarningNote(Item, frozen=True, kw_only=True, tag="warning"):
    """Something that may cause harm or loss."""

    text: str


class FollowUp(Item, frozen=True, kw_only=True, tag="follow_up"):
    """A question that may come next."""

    text: str


class Edit(Item, frozen=True, kw_only=True, tag="edit"):
    """One proposed change to a text (task `improve`). Indexes are characters of the input."""

    edit_type: Literal["grammar", "style", "clarity", "bias", "compliance"]
    original_text: str
    suggested_text: str
    start_index: Count
    end_index: Count
    explanation: str
    confidence: Fraction


AnyItem = Citation | Suggestion | ProTip | WarningNote | FollowUp | Edit


# Values inside events


class PromptRef(Value, frozen=True, kw_only=True):
    """Which prompt was used."""

    name: str
    version: str


class ExperimentRef(Value, frozen=True, kw_only=True):
    """Which arm of which experiment the answer belongs to."""

    name: str
    arm: str


class Limits(Value, frozen=True, kw_only=True):
    """What a connection may do."""

    max_frame_bytes: Count
    max_input_chars: Count
    max_concurrent_responses: Count
    requests_per_minute: Count


class SessionFacts(Value, frozen=True, kw_only=True):
    """What holds for the connection. `needs_token`: nothing is served before a `session.update`
    with a valid one, which must come within seconds.
    """

    id: str
    protocol: str
    server_version: str
    scenarios: tuple[str, ...]
    limits: Limits
    ping_interval_s: float
    resumable: bool
    needs_token: Literal[True] | UnsetType = UNSET


class StartedResponse(Value, frozen=True, kw_only=True):
    """An answer at its start. `created_at` is Unix seconds."""

    id: str
    status: Literal["in_progress"]
    task: Task
    product_id: str | None
    scenario: str
    created_at: Count
    prompt: PromptRef
    experiment: ExperimentRef | None
    resumable: bool
    previous_response_id: str | UnsetType = UNSET


class Source(Value, frozen=True, kw_only=True):
    """A place in the manual that was given to the model."""

    page: Annotated[int, Meta(ge=1)]
    heading: str
    score: Fraction


class ManualFacts(Value, frozen=True, kw_only=True):
    """Where the manual came from; `pages` and `sha256` are null when there is no text.

    `problem` and `message` say why a manual is unavailable.
    """

    status: ManualStatus
    pages: Count | None
    sha256: str | None
    problem: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Usage(Value, frozen=True, kw_only=True):
    """Tokens; `estimated` when the provider gave no numbers."""

    input_tokens: Count
    output_tokens: Count
    cached_tokens: Count
    estimated: bool


class CacheFacts(Value, frozen=True, kw_only=True):
    """Where the manual came from, and whether the answer was given before."""

    manual: ManualStatus
    answer: CacheState


class Timing(Value, frozen=True, kw_only=True):
    """Milliseconds since the request arrived; null for what did not happen."""

    manual: float | None
    retrieval: float | None
    first_token: float | None
    total: float


class ErrorFacts(Value, frozen=True, kw_only=True):
    """What went wrong and what to do; never a stack or an upstream body."""

    code: ErrorCode
    message: str
    retryable: bool
    param: str | UnsetType = UNSET
    event_id: str | UnsetType = UNSET
    response_id: str | UnsetType = UNSET
    retry_after_ms: Count | UnsetType = UNSET


class FinalResponse(Value, frozen=True, kw_only=True):
    """An answer at its end, with all its facts."""

    id: str
    status: Literal["completed", "incomplete", "failed", "cancelled"]
    output_text: str
    items: tuple[AnyItem, ...]
    model: str | None
    prompt: PromptRef
    experiment: ExperimentRef | None
    finish_reason: FinishReason
    confidence: Fraction | None
    is_confused: bool
    guidance: Guidance
    usage: Usage
    cost_usd: float | None
    cache: CacheFacts
    fallback: FallbackName | None
    timing_ms: Timing
    receipt: str
    error: ErrorFacts | UnsetType = UNSET


class FoundManual(Value, frozen=True, kw_only=True):
    """Whether a product has a manual and whether it is ready."""

    available: bool
    cached: bool


class FoundProduct(Value, frozen=True, kw_only=True):
    """One search result."""

    id: str
    name: str
    brand: str
    category: str
    score: Fraction
    manual: FoundManual


# Events of an answer


class AnswerEvent(Message, frozen=True, kw_only=True):
    """Base of the events of an answer; `epoch` and `sequence_number` are the resume position."""

    response_id: str
    epoch: Annotated[int, Meta(ge=1)]
    sequence_number: Count


class ResponseCreated(AnswerEvent, frozen=True, kw_only=True, tag="response.created"):
    """The question was taken; sent before any manual is fetched."""

    response: StartedResponse
    event_id: str | UnsetType = UNSET


class ResponseInProgress(AnswerEvent, frozen=True, kw_only=True, tag="response.in_progress"):
    """What is being done; `sources` and `manual` come when retrieval is done."""

    stage: Stage
    progress: Fraction | UnsetType = UNSET
    detail: dict[str, int | str | None] | UnsetType = UNSET
    sources: tuple[Source, ...] | UnsetType = UNSET
    manual: ManualFacts | UnsetType = UNSET


class OutputTextDelta(AnswerEvent, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """More text of the answer, markers taken out."""

    delta: str


class OutputItemDone(AnswerEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item of the answer, whole."""

    item: AnyItem


class AttemptStarted(AnswerEvent, frozen=True, kw_only=True, tag="response.attempt.started"):
    """A model was asked."""

    attempt: Annotated[int, Meta(ge=1)]
    model: str
    reason: AttemptReason
    fallback: FallbackName | UnsetType = UNSET


class ResponseReset(AnswerEvent, frozen=True, kw_only=True, tag="response.reset"):
    """Discard the text and items so far; the next event opens a new epoch."""

    reason: str


class ResponseCompleted(AnswerEvent, frozen=True, kw_only=True, tag="response.completed"):
    """The answer is whole."""

    response: FinalResponse


class ResponseIncomplete(AnswerEvent, frozen=True, kw_only=True, tag="response.incomplete"):
    """The answer stopped at a limit (`finish_reason` says which)."""

    response: FinalResponse


class ResponseFailed(AnswerEvent, frozen=True, kw_only=True, tag="response.failed"):
    """There is no answer; `response.error` says why."""

    response: FinalResponse


class ResponseCancelled(AnswerEvent, frozen=True, kw_only=True, tag="response.cancelled"):
    """The client cancelled the answer."""

    response: FinalResponse


AnyTerminalEvent = ResponseCompleted | ResponseIncomplete | ResponseFailed | ResponseCancelled

TERMINAL_EVENTS: dict[str, type[AnyTerminalEvent]] = {
    "completed": ResponseCompleted,
    "incomplete": ResponseIncomplete,
    "failed": ResponseFailed,
    "cancelled": ResponseCancelled,
}


# Other events


class SessionCreated(Message, frozen=True, kw_only=True, tag="session.created"):
    """The first event of a connection."""

    session: SessionFacts


class SessionUpdated(Message, frozen=True, kw_only=True, tag="session.updated"):
    """The session after a `session.update`."""

    session: SessionFacts
    event_id: str | UnsetType = UNSET


class SessionGoAway(Message, frozen=True, kw_only=True, tag="session.go_away"):
    """The server is going away: finish or go on elsewhere."""

    reason: str
    time_left_ms: Count


class CatalogResults(Message, frozen=True, kw_only=True, tag="catalog.results"):
    """Products that match, best first."""

    products: tuple[FoundProduct, ...]
    event_id: str | UnsetType = UNSET


class ResponseResumed(Message, frozen=True, kw_only=True, tag="response.resumed"):
    """An answer is taken up again; `recovered` only when nothing is missing."""

    response_id: str
    recovered: bool
    epoch: Annotated[int, Meta(ge=1)]
    from_sequence_number: Annotated[int, Meta(ge=-1)]
    status: Status
    response: FinalResponse | UnsetType = UNSET


class FeedbackAcknowledged(Message, frozen=True, kw_only=True, tag="feedback.acknowledged"):
    """The feedback is durable."""

    event_id: str
    level: Literal["logged", "committed"]
    duplicate: bool


class InsightsSnapshot(Message, frozen=True, kw_only=True, tag="insights.snapshot"):
    """The state of a topic."""

    topic: str
    data: dict[str, Any]


class InsightsDelta(Message, frozen=True, kw_only=True, tag="insights.delta"):
    """What changed in a topic."""

    topic: str
    data: dict[str, Any]


class RateLimitsUpdated(Message, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What is left of the request budget."""

    limit: Count
    remaining: Count
    reset_ms: Count


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to a `ping`."""

    event_id: str | UnsetType = UNSET


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """A client event could not be served."""

    error: ErrorFacts


AnyAnswerEvent = (
    ResponseCreated
    | ResponseInProgress
    | OutputTextDelta
    | OutputItemDone
    | AttemptStarted
    | ResponseReset
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | ResponseCancelled
)
AnyServerEvent = (
    AnyAnswerEvent
    | SessionCreated
    | SessionUpdated
    | SessionGoAway
    | CatalogResults
    | ResponseResumed
    | FeedbackAcknowledged
    | InsightsSnapshot
    | InsightsDelta
    | RateLimitsUpdated
    | Pong
    | Error
)
