"""`/health`, `/ready`, `/metrics`, `/asyncapi.json`: what machines ask."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from protocol.errors import EventError
from server.endpoints.errors import DATA_HEADERS, error_response
from server.endpoints.node import Node


@dataclass(frozen=True, slots=True)
class Dependency:
    """What one thing the server depends on is like. `required`: not ready without it."""

    name: str
    ok: bool
    detail: str
    required: bool = False


HTTPEndpoint = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200) -> Response:
    """Return `value` as JSON that nothing keeps."""
    return Response(
        orjson.dumps(value),
        status_code=status,
        media_type="application/json",
        headers=DATA_HEADERS,
    )


async def health(_request: Request) -> Response:
    """The process lives."""
    return json_response({"status": "ok"})


def ready_endpoint(node: Node, look: Callable[[], Awaitable[list[Dependency]]]) -> HTTPEndpoint:
    """Return the endpoint for `/ready`: 503 while draining or without what is required.

    What a dependency said may name hosts and users: where there are keys it is for viewers.
    """

    async def endpoint(request: Request) -> Response:
        found = await look()
        principal = node.keys.of_connection(request)
        shows_details = principal is not None and principal.may("viewer")
        for dependency in found:
            node.metrics.set("dependency_up", float(dependency.ok), dependency.name)
        is_ready = not node.draining and all(d.ok or not d.required for d in found)
        body = {
            "status": "draining" if node.draining else "ready" if is_ready else "not_ready",
            "dependencies": {
                d.name: {
                    "ok": d.ok,
                    "required": d.required,
                    "detail": d.detail if shows_details else "",
                }
                for d in found
            },
        }
        return json_response(body, 200 if is_ready else 503)

    return endpoint


def metrics_endpoint(node: Node, token: str = "", *, own_port: bool = False) -> HTTPEndpoint:
    """Return the endpoint for `/metrics`.

    `token` opens it. Without one its own port is open, for the network guards that; beside the
    other routes it takes a viewer's key, where there are keys.
    """

    async def endpoint(request: Request) -> Response:
        if not _may_scrape(request, node, token, own_port=own_port):
            node.metrics.count("errors_total", "unauthorized")
            message = "Send the metrics token, or a viewer's key, as `Authorization: Bearer`"
            return error_response(EventError("unauthorized", message))
        node.metrics.set("manual_memory_bytes", node.manuals.size_bytes)
        return Response(
            node.metrics.render(),
            headers={**DATA_HEADERS, "Content-Type": CONTENT_TYPE_LATEST},
        )

    return endpoint


def _may_scrape(request: Request, node: Node, token: str, *, own_port: bool) -> bool:
    said = request.headers.get("authorization", "").encode()
    if token and hmac.compare_digest(said, f"Bearer {token}".encode()):
        return True
    if own_port or node.keys.is_open:
        return not token
    principal = node.keys.of_connection(request)
    return principal is not None and principal.may("viewer")


def document_endpoint(document: object) -> HTTPEndpoint:
    """Return the endpoint for a document that never changes."""
    body = orjson.dumps(document)

    async def endpoint(_request: Request) -> Response:
        return Response(body, media_type="application/json", headers=DATA_HEADERS)

    return endpoint
