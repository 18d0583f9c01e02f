"""Tokens as an identity provider makes them: by a secret, by RSA and elliptic keys, by mistake."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import hmac
import json

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

SECRET = "a-secret-of-at-least-32-characters"
NOW = 1_790_000_000.0
GOOD = {"sub": "ada", "role": "annotator", "tenant": "acme", "exp": int(NOW) + 60}
HEAD = {"alg": "HS256", "typ": "JWT"}


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(value: object) -> str:
    return encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def token(claims: object = GOOD, head: object = HEAD, secret: str = SECRET, digest="sha256") -> str:
    """A token signed with HMAC."""
    signed = f"{part(head)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


@functools.cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


@functools.cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_by(key, claims: object, head: dict | None = None, **more) -> str:
    """A token signed with a private key, by the algorithm that fits it."""
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    alg = {"alg": "RS256" if is_rsa else "ES256"}
    text = f"{part(alg | more if head is None else head)}.{part(claims)}"
    if is_rsa:
        raw = key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    else:
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{encode(raw)}"


def jwk(key, **more) -> dict:
    """The public half of a private key, as a provider publishes it."""
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        return {"kty": "RSA", "n": encode(n), "e": encode(numbers.e.to_bytes(3, "big"))} | more
    x, y = (encode(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y} | more


def jwks(*keys: dict) -> str:
    return json.dumps({"keys": list(keys)})


def digest_of(key: str) -> str:
    """The name of an API key in the audit log."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def certificate(name: str) -> tuple[bytes, bytes]:
    """A certificate for a host that signs itself, and its key, both PEM."""
    key = ec_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private
