"""Keys and tokens in addresses: refused, since addresses end up in logs and histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.errors import EventError

NAMES: Final = frozenset(
    ("access_token", "api-key", "api_key", "apikey", "auth", "authorization", "bearer", "id_token",
     "jwt", "key", "password", "secret", "token", "x-api-key")
)  # fmt: skip
"""What people call them. A ticket may stand there: it is used up before anybody reads the log."""


def refuse_secrets(query: Mapping[str, str]) -> None:
    """Raise `EventError` when the query holds a key or token, good or not."""
    for name in query:
        if name.lower() in NAMES:
            raise EventError(
                "invalid_event",
                f"Never put a key or token into an address. Send it as `Authorization: Bearer`, as "
                f"`token` of session.update, or a ticket of /v1/tickets as `ticket` ({name[:20]})",
                param=name[:64],
            )
