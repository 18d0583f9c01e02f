"""Receipts: what an answer was, signed, so that any node can judge feedback with no look-up.

A receipt is `BASE64URL(payload) "." BASE64URL(HMAC-SHA256(key, payload))`, the payload compact
JSON with a key id. Keys rotate: the first signs, all verify.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from protocol.errors import EventError
from protocol.messages import Value


class Receipt(Value, frozen=True, kw_only=True):
    """The facts of one answer. `time` is Unix seconds; null stands for what there was not."""

    response_id: str
    product_id: str | None
    manual_sha256: str | None
    prompt: str
    arm: str | None
    model: str | None
    confidence: float | None
    time: int
    tenant: str = ""
    key_id: str = ""


def key_id(key: bytes) -> str:
    """Return the short public name of a key."""
    return hashlib.sha256(b"manicule-receipt-key:" + key).hexdigest()[:8]


def sign(receipt: Receipt, key: bytes) -> str:
    """Return `receipt` as text, signed with `key`."""
    payload = msgspec.json.encode(msgspec.structs.replace(receipt, key_id=key_id(key)))
    return f"{_encode(payload)}.{_encode(_mac(payload, key))}"


def verify(text: str, keys: Sequence[bytes]) -> Receipt:
    """Return the receipt in `text`; raises `EventError("invalid_receipt")`."""
    try:
        payload, _, mac = text.partition(".")
        raw = _decode(payload)
        receipt = msgspec.json.decode(raw, type=Receipt)
        signature = _decode(mac)
    except (ValueError, msgspec.DecodeError):
        raise _refusal() from None
    for key in keys:
        if key_id(key) == receipt.key_id and hmac.compare_digest(signature, _mac(raw, key)):
            return receipt
    raise _refusal()


def _refusal() -> EventError:
    return EventError(
        "invalid_receipt",
        "`receipt` was not signed by this fleet; send the one of response.completed unchanged",
        param="receipt",
    )


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.new(key, payload, hashlib.sha256).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
