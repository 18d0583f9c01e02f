"""Whose a dead letter is: its bytes may be anything, for that is why it was refused."""

from __future__ import annotations

import json


def plain(reason: str) -> str:
    """Return a reason that every store can keep: what is no text in it is written out."""
    return reason.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def is_about(original: bytes, user_id: str, tenant: str) -> bool:
    """Tell whether refused bytes concern a person.

    A row that can be read is judged by its user and tenant. In bytes that cannot, the user's id
    anywhere as a JSON text is enough: an erasure had better take too much than too little.
    """
    try:
        read = json.loads(original)
    except (ValueError, RecursionError):
        return _quoted(user_id) in original or _quoted(user_id, ascii_only=True) in original
    if not isinstance(read, dict):
        return False
    return read.get("user_id") == user_id and read.get("tenant", "") == tenant


def tenant_of(original: bytes) -> str | None:
    """Return the tenant of refused bytes; None when they name none."""
    try:
        read = json.loads(original)
    except (ValueError, RecursionError):
        return None
    tenant = read.get("tenant", "") if isinstance(read, dict) else None
    return tenant if isinstance(tenant, str) else None


def _quoted(text: str, *, ascii_only: bool = False) -> bytes:
    return json.dumps(text, ensure_ascii=ascii_only).encode(errors="surrogatepass")
