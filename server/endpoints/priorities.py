"""How urgent a question is, and whose turns it takes, from who asks it."""

from __future__ import annotations

from protocol.messages import ResponseCreate
from server.answering.admission import Standing
from server.answering.fair_queue import PRIORITIES, Priority
from server.endpoints.principals import Principal, Role, client_of

PRIORITY_KEY = "priority"
"""The pair of `metadata` with which a question asks for a class. Metadata is the client's own, so
a value that names no class means nothing."""

_HIGHEST: dict[Role, Priority] = {
    "user": "normal",
    "viewer": "normal",
    "annotator": "high",
    "admin": "critical",
}


def standing_of(event: ResponseCreate, principal: Principal | None, connection: str) -> Standing:
    """Return the standing of a question; `connection` tells those apart that have no name.

    It is `normal` unless its metadata asks for another class: a lower one is everybody's to take,
    a higher one as far as the role goes. Who came without a key has the rights of a user here.
    """
    client = client_of(principal)
    role: Role = principal.role if principal and client else "user"
    asked = event.metadata.get(PRIORITY_KEY, "normal")
    wished: Priority = next((one for one in PRIORITIES if one == asked), "normal")
    granted = max(PRIORITIES.index(wished), PRIORITIES.index(_HIGHEST[role]))
    return Standing(client or connection, PRIORITIES[granted])
