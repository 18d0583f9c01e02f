"""Tickets: what a web page is given instead of a key, good for one connection within seconds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from protocol.errors import EventError
from server.endpoints.roles import Principal, Role
from server.storage.once import Once

TTL_S: Final = 30
"""From `POST /v1/tickets` to the socket: a page needs one, a slow phone five."""

SKEW_S: Final = 30
"""How much longer a used ticket is remembered: another node's clock may be behind."""

PREFIX: Final = "mt1."
_PURPOSE: Final = b"manicule ticket 1"


class _Body(msgspec.Struct, frozen=True, array_like=True):
    number: str
    until: float
    name: str
    role: Role
    tenant: str
    user_id: str | None
    expires_at: float | None
    issued_at: float | None
    token_id: str | None
    signer: str


class Tickets:
    """Writes and redeems tickets; any node with the same `secret` can do either.

    A ticket carries its principal, signed, so nothing is kept of it before it is used. `once` is
    what the nodes share: it lets one of many uses win.
    """

    def __init__(self, secret: bytes, once: Once, wall_clock: Callable[[], float]) -> None:
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)
        self._once = once
        self._wall_clock = wall_clock

    def write(self, principal: Principal) -> str:
        """Return a ticket for `principal`, good for `TTL_S` seconds."""
        body = _Body(
            secrets.token_hex(16),
            self._wall_clock() + TTL_S,
            principal.name,
            principal.role,
            principal.tenant,
            principal.user_id,
            principal.expires_at,
            principal.issued_at,
            principal.token_id,
            principal.signer,
        )
        text = _encode(msgspec.json.encode(body))
        return f"{PREFIX}{text}.{self._sign(text)}"

    async def redeem(self, ticket: str) -> Principal | None:
        """Return whose ticket this is, the first time and in time; later, or of another, None.

        Raises `EventError("store_unavailable")` when it cannot be known whether it was used.
        """
        text, _, signature = ticket.removeprefix(PREFIX).partition(".")
        if not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
            return None
        body = msgspec.json.decode(base64.urlsafe_b64decode(text + "=="), type=_Body)
        if not self._wall_clock() < body.until:
            return None
        is_first = await self._once.take(f"ticket:{body.number}", ttl_s=TTL_S + SKEW_S)
        if is_first is None:
            raise EventError(
                "store_unavailable",
                "Whether the ticket was used cannot be known now; get a new one and try again",
                retry_after_ms=1000,
            )
        if not is_first:
            return None
        return Principal(
            name=body.name,
            role=body.role,
            tenant=body.tenant,
            user_id=body.user_id,
            expires_at=body.expires_at,
            issued_at=body.issued_at,
            token_id=body.token_id,
            signer=body.signer,
        )

    def _sign(self, text: str) -> str:
        return _encode(hmac.digest(self._key, text.encode(), hashlib.sha256))


def is_ticket(text: str) -> bool:
    """Whether the text means to be a ticket, not a key or a token."""
    return text.startswith(PREFIX)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
