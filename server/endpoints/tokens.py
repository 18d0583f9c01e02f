"""Signed tokens (JWT, RFC 7519): HS256 by a secret, RS256 and ES256 by public keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from server.endpoints.public_keys import PublicKey

MAX_TOKEN_CHARS = 8192  # the limit of `token` in session.update
MIN_SECRET_CHARS = 32  # RFC 7518 section 3.2: a key as long as the hash
AUDIENCE = "manicule"
LEEWAY_S = 30.0  # of `nbf` and `iat` only: another clock may run ahead; an end is an end
SECRET_SIGNER = "secret"  # noqa: S105 - a name for it

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

_AnyPart = TypeVar("_AnyPart")

Word = Annotated[str, Meta(max_length=128, pattern=r"^[^\x00]*$")]


class TokenError(Exception):
    """A token that is not good here; the message says why and nothing of what it holds."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token speaks for. Times are Unix seconds; `exp` is required.

    `aud`, where there is one, must name this server: else the token was made for another.
    """

    sub: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
    exp: float
    role: Literal["user", "viewer", "annotator", "admin"] = "user"
    tenant: Annotated[str, Meta(max_length=64, pattern=r"^[^\x00]*$")] = ""
    nbf: float | None = None
    iat: float | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    jti: Word | None = None


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    alg: Literal["HS256", "RS256", "ES256"]
    typ: str | None = None
    kid: str | None = None
    crit: msgspec.Raw | None = None


class TokenReader:
    """Reads tokens that `secret` or one of the `public_keys` of the moment signed.

    `issuer`, when set, must be a token's `iss`. `audience` must be in its `aud`; a token of the
    secret may have none, unless an audience was set: public keys belong to somebody who signs for
    other servers too.
    """

    def __init__(
        self,
        secret: bytes = b"",
        public_keys: Callable[[], Sequence[PublicKey]] = tuple,
        *,
        issuer: str = "",
        audience: str = "",
    ) -> None:
        self._secret = secret
        self._public_keys = public_keys
        self._issuer = issuer
        self._audience = audience

    @property
    def signers(self) -> frozenset[str]:
        """Names of who may sign at the moment."""
        names = {key.signer for key in self._public_keys()}
        return frozenset(names | {SECRET_SIGNER}) if self._secret else frozenset(names)

    def read(self, token: str, now: float) -> tuple[Claims, str]:
        """Return the claims of a token valid at `now` (Unix seconds) and the signer's name.

        The algorithm a token asks for chooses among our keys, each of which knows one: a public key
        never serves as a secret, and `none` is no algorithm. Claims are read only after the
        signature was found good. Raises `TokenError`.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenError("too long")
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise TokenError("not a token")
        header, payload, signature = parts.groups()
        head = _decode_as(header, _Header)
        if head.crit is not None:
            raise TokenError("it wants what is not understood here")
        signer = self._signer(head, f"{header}.{payload}".encode(), signature)
        return self._checked(_decode_as(payload, Claims), signer, now), signer

    def _signer(self, head: _Header, signed: bytes, signature: str) -> str:
        if head.alg == "HS256":
            if self._secret and hmac.compare_digest(
                _sign(signed, self._secret), signature.encode()
            ):
                return SECRET_SIGNER
        elif key := self._choose(head):
            try:
                raw = _decode(signature)
            except ValueError:
                raise TokenError("not a token") from None
            if key.verify(raw, signed):
                return key.signer
        raise TokenError("signed by somebody else")

    def _choose(self, head: _Header) -> PublicKey | None:
        """Return the one key of the algorithm that `kid` names, or that is there alone."""
        keys = [key for key in self._public_keys() if key.algorithm == head.alg]
        if head.kid is not None:
            keys = [key for key in keys if key.kid == head.kid]
        return keys[0] if len(keys) == 1 else None

    def _checked(self, claims: Claims, signer: str, now: float) -> Claims:
        if not now < claims.exp:
            raise TokenError("expired")
        for begin in (claims.nbf, claims.iat):
            if begin is not None and not begin <= now + LEEWAY_S:
                raise TokenError("not valid yet")
        if self._issuer and claims.iss != self._issuer:
            raise TokenError("made by another issuer")
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if audience is None:
            if self._audience or signer != SECRET_SIGNER:
                raise TokenError("made for no audience")
        elif (self._audience or AUDIENCE) not in audience:
            raise TokenError("made for another audience")
        return claims


def write_token(claims: Claims, secret: bytes) -> str:
    """Return `claims` as a signed token: for tests, and for whoever makes tokens in Python."""
    header = _encode(b'{"alg":"HS256","typ":"JWT"}')
    given = {
        name: value for name, value in msgspec.to_builtins(claims).items() if value is not None
    }
    signed = f"{header}.{_encode(msgspec.json.encode(given))}"
    return f"{signed}.{_sign(signed.encode(), secret).decode()}"


def _decode_as(text: str, kind: type[_AnyPart]) -> _AnyPart:
    try:
        return msgspec.json.decode(_decode(text), type=kind)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as base64's are
        raise TokenError("header or claims are not those of a token here") from None


def _sign(signed: bytes, secret: bytes) -> bytes:
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
