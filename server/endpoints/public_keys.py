"""Public keys that sign tokens, as an identity provider gives them out (JWKS, RFC 7517)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Algorithm = Literal["RS256", "ES256"]

MIN_RSA_BITS: Final = 2048
"""RFC 7518 section 3.3."""
MAX_RSA_BITS: Final = 8192
"""Larger ones cost a stranger's token milliseconds of ours."""
MAX_KEYS: Final = 100
_P256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key: `verify` says whether it made a signature. `signer` is a digest that names it."""

    algorithm: Algorithm
    kid: str | None
    signer: str
    verify: Callable[[bytes, bytes], bool]


class _Jwk(msgspec.Struct, frozen=True, kw_only=True):
    kty: str
    use: str = "sig"
    alg: str | None = None
    kid: str | None = None
    key_ops: list[str] | None = None
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class _Set(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[_Jwk]


def parse_jwks(text: str) -> tuple[PublicKey, ...]:
    """Return the keys of a set that can verify RS256 or ES256; the others are left out.

    Raises `ValueError` when there are none, or one cannot be what it says it is.
    """
    try:
        found = msgspec.json.decode(text, type=_Set).keys
    except msgspec.DecodeError as error:
        raise ValueError(f"no JWKS: {error}") from None
    if len(found) > MAX_KEYS:
        raise ValueError(f"over {MAX_KEYS} keys")
    keys = tuple(key for jwk in found if (key := _read(jwk)) is not None)
    if not keys:
        raise ValueError("no key for RS256 or ES256")
    return keys


def _read(jwk: _Jwk) -> PublicKey | None:
    if jwk.use != "sig" or (jwk.key_ops is not None and "verify" not in jwk.key_ops):
        return None
    if jwk.kty == "RSA" and jwk.alg in (None, "RS256"):
        return PublicKey("RS256", jwk.kid, _name("RSA", jwk.n, jwk.e), _rsa_verifier(jwk))
    if jwk.kty == "EC" and jwk.crv == "P-256" and jwk.alg in (None, "ES256"):
        return PublicKey("ES256", jwk.kid, _name("EC", jwk.x, jwk.y), _ec_verifier(jwk))
    return None


def _rsa_verifier(jwk: _Jwk) -> Callable[[bytes, bytes], bool]:
    key = rsa.RSAPublicNumbers(_number(jwk.e), _number(jwk.n)).public_key()
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} or more are needed")

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    return verify


def _ec_verifier(jwk: _Jwk) -> Callable[[bytes, bytes], bool]:
    numbers = ec.EllipticCurvePublicNumbers(_number(jwk.x), _number(jwk.y), ec.SECP256R1())
    key = numbers.public_key()

    def verify(signature: bytes, signed: bytes) -> bool:
        if len(signature) != 2 * _P256_BYTES:
            return False
        r, s = signature[:_P256_BYTES], signature[_P256_BYTES:]
        der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        try:
            key.verify(der, signed, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    return verify


def _number(text: str) -> int:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return int.from_bytes(raw, "big")


def _name(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
