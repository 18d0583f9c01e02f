"""`POST /v1/tickets`: a ticket for a web page, fetched by who holds a key or token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from server.endpoints.node import Node
from server.endpoints.principals import Principal
from server.endpoints.rest import HTTPEndpoint, guarded, json_response
from server.endpoints.results import Ticket
from server.endpoints.tickets import TTL_S


def ticket_endpoint(node: Node) -> HTTPEndpoint:
    """Return the endpoint for `POST /v1/tickets`."""

    async def endpoint(_request: Request, principal: Principal) -> Response:
        ticket = node.tickets.write(principal)
        return json_response(Ticket(ticket=ticket, expires_in_s=TTL_S), 201)

    return guarded(node, "user", endpoint)
