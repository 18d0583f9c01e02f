"""Signed tokens (JWT, RFC 7519): HS256 and nothing else, with an end, and small."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_TOKEN_CHARS = 8192  # the limit of `token` in session.update
MIN_SECRET_CHARS = 32  # RFC 7518 section 3.2: a key as long as the hash
AUDIENCE = "manicule"
LEEWAY_S = 30.0  # of `nbf` only: another clock may run ahead; an end is an end

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


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
    aud: str | list[str] | None = None


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    alg: Literal["HS256"]
    typ: str | None = None
    crit: msgspec.Raw | None = None


def read_token(token: str, secret: bytes, now: float) -> Claims:
    """Return the claims of a token that `secret` signed and that is valid at `now` (Unix seconds).

    The algorithm is ours to say, not the token's: `none` and all others are refused. Nothing of a
    token is read before its signature was compared, in constant time. Raises `TokenError`.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError("too long")
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise TokenError("not a token")
    header, payload, signature = parts.groups()
    if not hmac.compare_digest(_sign(f"{header}.{payload}", secret), signature.encode()):
        raise TokenError("signed by somebody else")
    try:
        head = msgspec.json.decode(_decode(header), type=_Header)
        claims = msgspec.json.decode(_decode(payload), type=Claims)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as base64's are
        raise TokenError("header or claims are not those of a token here") from None
    if head.crit is not None:
        raise TokenError("it wants what is not understood here")
    return _checked(claims, now)


def write_token(claims: Claims, secret: bytes) -> str:
    """Return `claims` as a signed token: for tests, and for whoever makes tokens in Python."""
    header = _encode(b'{"alg":"HS256","typ":"JWT"}')
    given = {
        name: value for name, value in msgspec.to_builtins(claims).items() if value is not None
    }
    signed = f"{header}.{_encode(msgspec.json.encode(given))}"
    return f"{signed}.{_sign(signed, secret).decode()}"


def _checked(claims: Claims, now: float) -> Claims:
    if not now < claims.exp:
        raise TokenError("expired")
    if claims.nbf is not None and not claims.nbf <= now + LEEWAY_S:
        raise TokenError("not valid yet")
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if audience is not None and AUDIENCE not in audience:
        raise TokenError("made for another audience")
    return claims


def _sign(text: str, secret: bytes) -> bytes:
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
