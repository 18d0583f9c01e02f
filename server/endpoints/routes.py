"""Every door of the server and what is behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute, Route

from protocol.asyncapi import build_document
from server.endpoints.feedback_api import (
    bulk_feedback_endpoint,
    create_feedback_endpoint,
    reject_endpoint,
    rejections_endpoint,
)
from server.endpoints.node import Node
from server.endpoints.openapi import build_openapi
from server.endpoints.pages import page_routes
from server.endpoints.probes import (
    Dependency,
    HTTPEndpoint,
    document_endpoint,
    health,
    ready_endpoint,
)
from server.endpoints.responses import create_endpoint, events_endpoint
from server.endpoints.statistics_api import (
    acceptance_endpoint,
    by_type_endpoint,
    export_endpoint,
    trends_endpoint,
    user_stats_endpoint,
)
from server.endpoints.tickets_api import ticket_endpoint

Look = Callable[[], Awaitable[list[Dependency]]]


def build_routes(
    node: Node, look: Look, version: str, *, metrics: HTTPEndpoint | None = None
) -> list[BaseRoute]:
    """Return every door of the server but the socket's, which `Entrance` has.

    `look` gives what `/ready` says of the dependencies. `metrics` is the endpoint of `/metrics`
    unless that has a port of its own.
    """
    return [
        Route("/v1/tickets", ticket_endpoint(node), methods=["POST"]),
        Route("/v1/responses", create_endpoint(node), methods=["POST"]),
        Route("/v1/responses/{response_id}/events", events_endpoint(node)),
        Route("/api/v1/feedback", create_feedback_endpoint(node), methods=["POST"]),
        Route("/api/v1/feedback/bulk", bulk_feedback_endpoint(node), methods=["POST"]),
        Route("/api/v1/content/{response_id}/reject", reject_endpoint(node), methods=["POST"]),
        Route("/api/v1/content/{response_id}/rejections", rejections_endpoint(node)),
        Route("/api/rlhf/statistics/acceptance-rate", acceptance_endpoint(node)),
        Route("/api/rlhf/statistics/by-type", by_type_endpoint(node)),
        Route("/api/rlhf/analytics/trends", trends_endpoint(node)),
        Route("/api/rlhf/analytics/user/{user_id}/stats", user_stats_endpoint(node)),
        Route("/api/rlhf/export/training-data", export_endpoint(node)),
        Route("/health", health),
        Route("/ready", ready_endpoint(node, look)),
        *([Route("/metrics", metrics)] if metrics else []),
        Route("/asyncapi.json", document_endpoint(build_document(version))),
        Route("/openapi.json", document_endpoint(build_openapi(version))),
        *page_routes(),
    ]
