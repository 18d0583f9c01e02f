"""`/health`, `/ready`, `/metrics`, `/asyncapi.json`: what machines ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from server.endpoints.errors import DATA_HEADERS
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
    """Return the endpoint for `/ready`: 503 while draining or without what is required."""

    async def endpoint(_request: Request) -> Response:
        found = await look()
        for dependency in found:
            node.metrics.set("dependency_up", float(dependency.ok), dependency.name)
        is_ready = not node.draining and all(d.ok or not d.required for d in found)
        body = {
            "status": "draining" if node.draining else "ready" if is_ready else "not_ready",
            "dependencies": {
                d.name: {"ok": d.ok, "required": d.required, "detail": d.detail} for d in found
            },
        }
        return json_response(body, 200 if is_ready else 503)

    return endpoint


def metrics_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `/metrics`."""

    async def endpoint(_request: Request) -> Response:
        node.metrics.set("manual_memory_bytes", node.manuals.size_bytes)
        return Response(
            node.metrics.render(),
            headers={**DATA_HEADERS, "Content-Type": CONTENT_TYPE_LATEST},
        )

    return endpoint


def document_endpoint(document: object) -> HTTPEndpoint:
    """Return the endpoint for a document that never changes."""
    body = orjson.dumps(document)

    async def endpoint(_request: Request) -> Response:
        return Response(body, media_type="application/json", headers=DATA_HEADERS)

    return endpoint
