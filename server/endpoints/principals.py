"""Who speaks: by API key or signed token, with a role and a tenant. Without any: the operator."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs
from starlette.requests import HTTPConnection

from protocol.errors import EventError
from protocol.messages import ResponseCreate
from server.answering.topics import NOBODY, Asker
from server.endpoints.api_keys import ApiKeys, digest_of, parse_key_file, parse_keys
from server.endpoints.revocations import Revocations, parse_revocations
from server.endpoints.roles import OPERATOR, Principal, Role
from server.endpoints.tokens import MIN_SECRET_CHARS, TokenError, TokenReader
from server.endpoints.watched import WatchedFile

if TYPE_CHECKING:
    from server.endpoints.public_keys import PublicKey

__all__ = ["OPERATOR", "KeyRing", "Principal", "Role", "asked_by", "asker_of"]


class KeyRing:
    """The API keys, kept and compared as digests, and the keys that sign tokens.

    `wall_clock` gives Unix seconds. The files are read here, and again by `refresh`; a key that was
    taken out of its file, a public key that is gone and what is revoked end what they allowed.
    """

    def __init__(
        self,
        entries: Iterable[str],
        jwt_secret: str = "",
        wall_clock: Callable[[], float] = time.time,
        *,
        keys_file: Path | None = None,
        jwks_file: Path | None = None,
        revoked_file: Path | None = None,
        issuer: str = "",
        audience: str = "",
    ) -> None:
        """Read entries and files; raises `ValueError` naming the entry, or `OSError`."""
        if jwt_secret and len(jwt_secret) < MIN_SECRET_CHARS:
            raise ValueError(f"JWT secret: needs at least {MIN_SECRET_CHARS} characters")
        self._wall_clock = wall_clock
        self._fixed = parse_keys(entries)
        self._keys = WatchedFile(keys_file, parse_key_file) if keys_file else None
        self._jwks = _watch_public_keys(jwks_file) if jwks_file else None
        self._revoked = WatchedFile(revoked_file, _parse_file) if revoked_file else None
        self._tokens = TokenReader(
            jwt_secret.encode(), self._public_keys, issuer=issuer, audience=audience
        )
        self._has_tokens = bool(jwt_secret or jwks_file)
        self.is_open = not (self._fixed.principals or keys_file or self._has_tokens)
        """Whether there are neither keys nor signers, so that nobody needs one. A file of keys that
        was emptied opens nothing."""
        self.revoked_elsewhere = Revocations()
        """What the fleet shares, set by who reads it."""

    def refresh(self) -> None:
        """Read the files that were changed; blocks as long as the disk does."""
        for file in (self._keys, self._jwks, self._revoked):
            if file is not None:
                file.refresh()

    def find(self, key: str) -> Principal | None:
        """Return whose key or token this is; None when it is nobody's, over or revoked."""
        digest = digest_of(key)
        found = None
        for keys in self._api_keys():
            for known, principal in keys.by_digest.items():  # all of them: time tells nothing
                if hmac.compare_digest(known, digest):
                    found = principal
        found = found or self._of_token(key)
        return found if found is not None and self.stands(found) else None

    def stands(self, principal: Principal) -> bool:
        """Whether what `principal` came in with is still good."""
        if self.is_open:
            return True
        if principal.expires_at is not None and principal.expires_at <= self._wall_clock():
            return False
        if principal.signer:
            if principal.signer not in self._tokens.signers:
                return False
        elif not any(principal in keys.principals for keys in self._api_keys()):
            return False
        return not self._is_revoked(principal)

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
            message = "Send a valid API key or token as `Authorization: Bearer KEY`"
            raise EventError("unauthorized", message)
        if not principal.may(role):
            raise EventError("forbidden", f"This needs the role {role}")
        return principal

    def _api_keys(self) -> list[ApiKeys]:
        return [self._fixed] if self._keys is None else [self._fixed, self._keys.value]

    def _public_keys(self) -> tuple[PublicKey, ...]:
        return () if self._jwks is None else self._jwks.value

    def _is_revoked(self, principal: Principal) -> bool:
        lists = [self.revoked_elsewhere]
        if self._revoked is not None:
            lists.append(self._revoked.value)
        return any(
            one.hit(
                name=principal.name,
                token_id=principal.token_id,
                user_id=principal.user_id,
                issued_at=principal.issued_at,
            )
            for one in lists
        )

    def _of_token(self, token: str) -> Principal | None:
        if not self._has_tokens:
            return None
        try:
            claims, signer = self._tokens.read(token, self._wall_clock())
        except TokenError:
            return None
        return Principal(
            name=f"token-{digest_of(claims.sub).hex()[:12]}",
            role=claims.role,
            tenant=claims.tenant,
            user_id=claims.sub,
            expires_at=claims.exp,
            issued_at=claims.iat,
            token_id=claims.jti,
            signer=signer,
        )


def asked_by(event: ResponseCreate, principal: Principal | None) -> ResponseCreate:
    """Return the question as one of the person that a token names."""
    if principal is None or principal.user_id is None:
        return event
    return structs.replace(event, user_id=principal.user_id)


def client_of(principal: Principal | None) -> str:
    """Return what limits count as one: a key, or a person of a tenant; "" for nobody by name."""
    return f"{principal.tenant}/{principal.name}" if principal and principal.name else ""


def asker_of(principal: Principal | None) -> Asker:
    """Return whose the answers of this principal are."""
    return Asker(principal.name, principal.tenant) if principal is not None else NOBODY


def _watch_public_keys(file: Path) -> WatchedFile[tuple[PublicKey, ...]]:
    # cryptography takes 7 MiB, which a server without public keys does not spend.
    from server.endpoints.public_keys import parse_jwks

    return WatchedFile(file, parse_jwks)


def _parse_file(text: str) -> Revocations:
    return parse_revocations(text.splitlines())
