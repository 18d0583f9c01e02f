"""Signatures of deliveries, as the Standard Webhooks specification (version 1.0.0) has them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""Lengths of a key that the specification allows: 192 to 512 bits."""


def read_key(secret: str) -> bytes:
    """Return the key in `whsec_` and base64; raises `ValueError` with what to write instead."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(
            f"is no signing secret. Write {PREFIX} and 24 to 64 random bytes in base64, as from: "
            f'echo "{PREFIX}$(head -c 32 /dev/urandom | base64)"'
        )
    return key


def sign(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one signature for each key, apart by a space.

    Each is the HMAC-SHA256 of `id.timestamp.body`. A receiver that knows one of the keys is
    content, so that keys can be changed without a gap.
    """
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys
    )
