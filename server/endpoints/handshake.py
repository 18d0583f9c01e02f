"""`GET /ws`: who may open a socket, looked at before anything of a session exists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket

from protocol.errors import EventError
from server.endpoints.doorkeeper import Visit
from server.endpoints.errors import error_response
from server.endpoints.node import Node
from server.endpoints.principals import Principal
from server.endpoints.socket import SUBPROTOCOL, Connection
from server.endpoints.tickets import is_ticket
from server.endpoints.url_secrets import refuse_secrets


def socket_endpoint(node: Node) -> Callable[[WebSocket], Awaitable[None]]:
    """Return the endpoint for `GET /ws`."""

    async def endpoint(websocket: WebSocket) -> None:
        try:
            visit = _enter(websocket, node)
        except EventError as refusal:
            await _deny(websocket, node, refusal)
            return
        try:
            principal = await _recognise(websocket, node, visit)
        except EventError as refusal:
            await _deny(websocket, node, refusal)
        else:
            await _serve(websocket, node, visit, principal)
        finally:
            node.doors.leave(visit)

    return endpoint


async def _deny(websocket: WebSocket, node: Node, refusal: EventError) -> None:
    node.metrics.count("errors_total", refusal.code)
    await websocket.send_denial_response(error_response(refusal))


async def _serve(
    websocket: WebSocket, node: Node, visit: Visit, principal: Principal | None
) -> None:
    offered = websocket.scope.get("subprotocols") or []
    await websocket.accept(subprotocol=SUBPROTOCOL if offered else None)
    connection = Connection(websocket, node, visit, principal)
    node.connections.add(connection)
    node.metrics.set("connections", len(node.connections))
    try:
        await connection.run()
    finally:
        node.connections.discard(connection)
        node.metrics.set("connections", len(node.connections))


def _enter(websocket: WebSocket, node: Node) -> Visit:
    """Take a place for this socket; raises `EventError` for one that may have none."""
    address = node.address_of(websocket)
    node.doors.knock(address, node.clock())
    refuse_secrets(websocket.query_params)
    headers = websocket.headers
    if not node.origins.allows(headers.getlist("origin"), headers.get("host")):
        raise EventError(
            "forbidden", "This origin may not connect; the operator can add it to the origins"
        )
    offered = websocket.scope.get("subprotocols") or []
    if offered and SUBPROTOCOL not in offered:
        raise EventError(
            "invalid_event", f"No offered subprotocol is known; supported: {SUBPROTOCOL}"
        )
    if node.draining:
        raise EventError("draining", "The server is going away; connect elsewhere")
    if node.doors.inside >= node.max_connections:
        raise EventError("overloaded", "The server has as many sockets as it may")
    return node.doors.enter(address)


async def _recognise(websocket: WebSocket, node: Node, visit: Visit) -> Principal | None:
    """Return who the headers or a ticket say it is, None when that is still to be said.

    Raises `EventError` for a ticket that is not good, and for one of somebody else than the
    headers name.
    """
    principal = node.keys.of_connection(websocket)
    ticket = websocket.query_params.get("ticket")
    if ticket is not None and not node.keys.is_open:
        found = await node.identify(ticket) if is_ticket(ticket) else None
        if found is None or (principal is not None and principal.name != found.name):
            node.note_denied("unauthorized", "/ws", found)
            raise EventError(
                "unauthorized",
                "The ticket is not valid here, or over, or used; get another at /v1/tickets",
                param="ticket",
            )
        principal = found
    node.doors.recognise(visit, principal.user_id if principal else None)
    return principal
