"""Every door of the server as one table: who may, what it takes, what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from protocol.errors import ErrorCode
from protocol.messages import FeedbackCreate, ResponseCreate
from server.endpoints.principals import Role
from server.endpoints.results import BulkBody, BulkResults, Health, Ready, Rejections, Taken, Ticket
from server.insights.results import Acceptance, Trend, UserStats

JSON = "application/json"
Kind = Literal["string", "number"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query or a path."""

    name: str
    help: str
    place: Literal["query", "path", "header"] = "query"
    kind: Kind = "string"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `answers` maps a status to its media type and, of JSON, its type.

    `role` None is open to everybody. `body_optional`: fields that the path gives, or nothing at
    all, may be missing from the body.
    """

    method: Literal["get", "post"]
    path: str
    summary: str
    answers: dict[int, tuple[str, type[msgspec.Struct] | None]]
    role: Role | None = None
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    body_optional: tuple[str, ...] = ()
    errors: tuple[ErrorCode, ...] = field(default=())


RESPONSE_ID = Parameter("response_id", "The id of an answer.", "path")
RANGE = (
    Parameter("since", "Only what arrived from this RFC 3339 date or time on."),
    Parameter("until", "Only what arrived before this RFC 3339 date or time."),
)
FILTERS = (
    *RANGE,
    Parameter("product_id", "Only of this product."),
    Parameter("scenario", "Only of this scenario."),
    Parameter("prompt_version", "Only of this prompt, as name/scenario/version."),
    Parameter("model", "Only of this model."),
    Parameter("arm", "Only of this arm of an experiment."),
    Parameter("item_type", "Only of items of this type."),
    Parameter("user_id", "Only of this person."),
    Parameter("min_confidence", "Only of answers with at least this confidence.", kind="number"),
)
FORMAT = Parameter(
    "format",
    "What the lines are for.",
    choices=("openai-chat", "openai-preference", "gemini", "gemini-preference", "trl", "csv"),
)
_TAKING: tuple[ErrorCode, ...] = (
    "invalid_json", "invalid_event", "unknown_type", "payload_too_large", "response_not_found",
    "invalid_receipt", "conflict", "store_unavailable", "draining",
)  # fmt: skip
_READING: tuple[ErrorCode, ...] = ("invalid_event", "store_unavailable")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post", "/v1/tickets", "Get a ticket with which a web page opens one socket.",
        {201: (JSON, Ticket)},
        role="user",
    ),
    Operation(
        "post", "/v1/responses", "Ask a question; the events of /asyncapi.json as a stream.",
        {200: ("text/event-stream", None)},
        role="user", body=ResponseCreate,
        errors=("invalid_json", "invalid_event", "unknown_type", "payload_too_large",
                "product_not_found", "scenario_not_found", "overloaded", "draining"),
    ),
    Operation(
        "get", "/v1/responses/{response_id}/events", "Take up the events of an answer.",
        {200: ("text/event-stream", None)},
        role="user", errors=("invalid_event", "response_not_found", "store_unavailable"),
        parameters=(
            RESPONSE_ID,
            Parameter("Last-Event-ID", "The last position seen: epoch-sequence_number.", "header"),
        ),
    ),
    Operation(
        "post", "/api/v1/feedback", "Judge an answer or an item; 200 for a repetition.",
        {201: (JSON, Taken), 200: (JSON, Taken)},
        role="user", body=FeedbackCreate, errors=_TAKING,
    ),
    Operation(
        "post", "/api/v1/feedback/bulk", "Judge many; a result for each.",
        {207: (JSON, BulkResults)},
        role="user", body=BulkBody, errors=("invalid_json", "invalid_event", "payload_too_large"),
    ),
    Operation(
        "post", "/api/v1/content/{response_id}/reject", "Reject an answer; 200 for a repetition.",
        {201: (JSON, Taken), 200: (JSON, Taken)},
        role="user", parameters=(RESPONSE_ID,), body=FeedbackCreate,
        body_optional=("event_id", "response_id", "action"), errors=_TAKING,
    ),
    Operation(
        "get", "/api/v1/content/{response_id}/rejections", "The rejections of an answer.",
        {200: (JSON, Rejections)},
        role="viewer", parameters=(RESPONSE_ID,), errors=("store_unavailable",),
    ),
    Operation(
        "get", "/api/rlhf/statistics/acceptance-rate", "Acceptance over decided judgements.",
        {200: (JSON, Acceptance)},
        role="viewer", errors=_READING,
        parameters=(*FILTERS, Parameter("by", "At most three names of groups, with commas.")),
    ),
    Operation(
        "get", "/api/rlhf/statistics/by-type", "Acceptance by the type of item.",
        {200: (JSON, Acceptance)},
        role="viewer", parameters=FILTERS, errors=_READING,
    ),
    Operation(
        "get", "/api/rlhf/analytics/trends", "Acceptance over time.",
        {200: (JSON, Trend)},
        role="viewer", errors=_READING,
        parameters=(*FILTERS, Parameter("every", "Length of a period.", choices=("day", "week"))),
    ),
    Operation(
        "get", "/api/rlhf/analytics/user/{user_id}/stats", "One person's judgements.",
        {200: (JSON, UserStats)},
        role="annotator", errors=_READING,
        parameters=(Parameter("user_id", "The person.", "path"), *FILTERS[:-2], FILTERS[-1]),
    ),
    Operation(
        "get", "/api/rlhf/export/training-data", "Judgements as training data, streamed.",
        {200: ("application/jsonl", None)},
        role="admin", errors=_READING,
        parameters=(
            *FILTERS, FORMAT, Parameter("after", "Go on after this event id."),
            Parameter("starting_after", "Go on after the line with this SHA-256, made with the same"
                      " filters, format and `until` (header Export-Until)."),
        ),
    ),
    Operation("get", "/health", "The process lives.", {200: (JSON, Health)}),
    Operation(
        "get", "/ready", "Whether it takes work, and what it depends on.",
        {200: (JSON, Ready), 503: (JSON, Ready)},
    ),
    Operation("get", "/metrics", "Prometheus metrics.", {200: ("text/plain", None)}),
    Operation("get", "/asyncapi.json", "The document of the socket.", {200: (JSON, None)}),
    Operation("get", "/openapi.json", "This document.", {200: (JSON, None)}),
    Operation(
        "get", "/ws", "The socket, subprotocol manicule.v1; see /asyncapi.json.",
        {101: ("", None)},
        parameters=(Parameter("ticket", "A ticket of /v1/tickets, where headers cannot be set."),),
        errors=("forbidden", "invalid_event", "unauthorized", "rate_limited", "overloaded",
                "draining", "store_unavailable"),
    ),
    Operation("get", "/", "The web page.", {200: ("text/html", None)}),
    Operation(
        "get", "/assets/{name}", "A file of the web page.",
        {200: ("application/octet-stream", None), 404: ("text/plain", None)},
        parameters=(Parameter("name", "The file.", "path"),),
    ),
)  # fmt: skip
