"""What each message of the socket needs: looked up for every frame, not once a connection."""

from __future__ import annotations

from typing import Final

from protocol.messages import (
    AnyClientEvent,
    CatalogSearch,
    FeedbackCreate,
    InsightsSubscribe,
    InsightsUnsubscribe,
    Ping,
    ResponseCancel,
    ResponseCreate,
    ResponseRegenerate,
    ResponseResume,
    SessionUpdate,
)
from server.endpoints.roles import Principal, Role

NEEDED: Final[dict[type[AnyClientEvent], Role | None]] = {
    Ping: None,
    SessionUpdate: None,
    CatalogSearch: "user",
    ResponseCreate: "user",
    ResponseCancel: "user",
    ResponseResume: "user",
    ResponseRegenerate: "user",
    FeedbackCreate: "user",
    InsightsSubscribe: "viewer",
    InsightsUnsubscribe: "viewer",
}
"""The least role of each message; None is open to who has not said yet who it is. The roles of
requests over HTTP stand in `operations`."""


def may_send(principal: Principal | None, event: AnyClientEvent) -> bool:
    """Whether `principal` may have `event` served."""
    needed = NEEDED[type(event)]
    return needed is None or (principal is not None and principal.may(needed))
