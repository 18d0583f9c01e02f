"""Who speaks: API keys, their roles and tenants. Without keys everybody here is the operator."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from starlette.requests import HTTPConnection

from protocol.errors import EventError

Role = Literal["user", "viewer", "annotator", "admin"]
_RANKS: dict[Role, int] = {role: rank for rank, role in enumerate(get_args(Role))}
MIN_KEY_CHARS = 16  # what is shorter can be guessed


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with rights; each role may do what those before it may."""

    name: str
    role: Role
    tenant: str = ""

    def may(self, role: Role) -> bool:
        """Whether these rights include those of `role`."""
        return _RANKS[self.role] >= _RANKS[role]


OPERATOR = Principal("", "admin")


class KeyRing:
    """The API keys. Keys are kept and compared as digests."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Read entries `role:key` or `role:tenant:key`; raises `ValueError` naming the entry."""
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
        """Whether there are no keys, so that nobody needs one."""
        return not self._by_digest

    def find(self, key: str) -> Principal | None:
        """Return whose key this is."""
        digest = _digest(key)
        found = None
        for known, principal in self._by_digest.items():  # all of them: time tells nothing
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def of_connection(self, connection: HTTPConnection) -> Principal | None:
        """Return who the `Authorization` header says it is; without keys, the operator."""
        if self.is_open:
            return OPERATOR
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        return self.find(key.strip()) if scheme.lower() == "bearer" else None

    def require(self, connection: HTTPConnection, role: Role) -> Principal:
        """Return the principal if it may act as `role`; raises `EventError` otherwise."""
        principal = self.of_connection(connection)
        if principal is None:
            raise EventError("unauthorized", "Send a valid API key as `Authorization: Bearer KEY`")
        if not principal.may(role):
            raise EventError("forbidden", f"This needs the role {role}")
        return principal


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
