"""What the REST endpoints answer and take beside the messages of the socket, as values."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from protocol.events import ErrorFacts
from protocol.messages import FeedbackCreate, Value
from server.feedback.outcomes import Level

MAX_BULK = 500  # what a group commit takes in one go, and what a person selects at most


class Ticket(Value, frozen=True, kw_only=True):
    """What a web page is given to open one socket with, within `expires_in_s` seconds."""

    ticket: str
    expires_in_s: int


class Taken(Value, frozen=True, kw_only=True):
    """A judgement that is durable: `committed` in the store or `logged` in the journal."""

    event_id: str
    level: Level
    duplicate: bool


class BulkBody(Value, frozen=True, kw_only=True):
    """Many judgements, each taken or refused by itself."""

    events: Annotated[list[FeedbackCreate], Meta(min_length=1, max_length=MAX_BULK)]


class BulkResult(Value, frozen=True, kw_only=True):
    """What became of one of many: `status` as it would have been alone, then facts or an error."""

    status: int
    event_id: str | UnsetType = UNSET
    level: Level | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    error: ErrorFacts | UnsetType = UNSET


class BulkResults(Value, frozen=True, kw_only=True):
    """One result per judgement, in their order."""

    results: tuple[BulkResult, ...]


class Rejection(Value, frozen=True, kw_only=True):
    """One rejection as it was sent; `received_at` is Unix milliseconds of ours."""

    event_id: str
    item_id: str | None
    tags: tuple[str, ...]
    comment: str | None
    metadata: dict[str, str]
    occurred_at: str | None
    received_at: int


class Rejections(Value, frozen=True, kw_only=True):
    """The rejections of one answer, oldest first."""

    response_id: str
    rejections: tuple[Rejection, ...]


class Health(Value, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["ok"]


class DependencyFacts(Value, frozen=True, kw_only=True):
    """What one thing the server depends on is like."""

    ok: bool
    required: bool
    detail: str


class Ready(Value, frozen=True, kw_only=True):
    """Whether the server takes work."""

    status: Literal["ready", "not_ready", "draining"]
    dependencies: dict[str, DependencyFacts]
