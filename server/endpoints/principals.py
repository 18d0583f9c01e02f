"""Who speaks: by API key or signed token, with a role and a tenant. Without any: the operator."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import structs
from starlette.requests import HTTPConnection

from protocol.errors import EventError
from protocol.messages import ResponseCreate
from server.endpoints.tokens import MIN_SECRET_CHARS, TokenError, read_token

Role = Literal["user", "viewer", "annotator", "admin"]
_RANKS: dict[Role, int] = {role: rank for rank, role in enumerate(get_args(Role))}
MIN_KEY_CHARS = 16  # what is shorter can be guessed


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with rights; each role may do what those before it may.

    A token names the person too (`user_id`), whatever is said elsewhere, and ends: `expires_at` is
    Unix seconds. `name` is a digest: it tells principals apart and is nobody's id.
    """

    name: str
    role: Role
    tenant: str = ""
    user_id: str | None = None
    expires_at: float | None = None

    def may(self, role: Role) -> bool:
        """Whether these rights include those of `role`."""
        return _RANKS[self.role] >= _RANKS[role]


OPERATOR = Principal("", "admin")


class KeyRing:
    """The API keys, kept and compared as digests, and the secret that signs tokens.

    `wall_clock` gives Unix seconds.
    """

    def __init__(
        self,
        entries: Iterable[str],
        jwt_secret: str = "",
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Read entries `role:key` or `role:tenant:key`; raises `ValueError` naming the entry."""
        if jwt_secret and len(jwt_secret) < MIN_SECRET_CHARS:
            raise ValueError(f"JWT secret: needs at least {MIN_SECRET_CHARS} characters")
        self._secret = jwt_secret.encode()
        self._wall_clock = wall_clock
        self._by_digest: dict[bytes, Principal] = {}
        for number, entry in enumerate(entries, 1):
            role, _, rest = entry.partition(":")
            tenant, _, key = rest.rpartition(":")
            if role not in _RANKS:
                roles = ", ".join(_RANKS)
                raise ValueError(f"API key {number}: begin it with a role ({roles}) and a colon")
            if len(key) < MIN_KEY_CHARS:
                raise ValueError(f"API key {number}: needs at least {MIN_KEY_CHARS} characters")
            digest = _digest(key)
            name = digest.hex()[:12]
            self._by_digest[digest] = Principal(name, role, tenant)

    @property
    def is_open(self) -> bool:
        """Whether there are neither keys nor a secret, so that nobody needs one."""
        return not self._by_digest and not self._secret

    def find(self, key: str) -> Principal | None:
        """Return whose key or token this is."""
        digest = _digest(key)
        found = None
        for known, principal in self._by_digest.items():  # all of them: time tells nothing
            if hmac.compare_digest(known, digest):
                found = principal
        return found or self._of_token(key)

    def is_over(self, principal: Principal) -> bool:
        """Whether the token of `principal` has ended."""
        return principal.expires_at is not None and principal.expires_at <= self._wall_clock()

    def of_connection(self, connection: HTTPConnection) -> Principal | None:
        """Return who the `Authorization` header says it is; without keys, the operator."""
        if self.is_open:
            return OPERATOR
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        return self.find(key.strip()) if scheme.lower() == "bearer" else None

    def _of_token(self, token: str) -> Principal | None:
        if not self._secret:
            return None
        try:
            claims = read_token(token, self._secret, self._wall_clock())
        except TokenError:
            return None
        name = f"token-{_digest(claims.sub).hex()[:12]}"
        return Principal(name, claims.role, claims.tenant, claims.sub, claims.exp)

    def require(self, connection: HTTPConnection, role: Role) -> Principal:
        """Return the principal if it may act as `role`; raises `EventError` otherwise."""
        principal = self.of_connection(connection)
        if principal is None:
            message = "Send a valid API key or token as `Authorization: Bearer KEY`"
            raise EventError("unauthorized", message)
        if not principal.may(role):
            raise EventError("forbidden", f"This needs the role {role}")
        return principal


def asked_by(event: ResponseCreate, principal: Principal | None) -> ResponseCreate:
    """Return the question as one of the person that a token names."""
    if principal is None or principal.user_id is None:
        return event
    return structs.replace(event, user_id=principal.user_id)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
