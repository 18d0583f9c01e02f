"""From what a person writes as a server's address to a socket's."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from manicule.errors import CannotConnectError

_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


def socket_address(url: str) -> tuple[str, bool]:
    """Return the socket's address and whether it is of this machine.

    The page's address does too: `http://host:port` is read as `ws://host:port/ws`. Raises
    `CannotConnectError`.
    """
    remedy = f"{url}: not a socket's address. Write ws://host:port/ws."
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no number
    except ValueError:
        raise CannotConnectError(remedy, retryable=False) from None
    parts = parts._replace(
        scheme=_SOCKET_SCHEMES.get(parts.scheme, parts.scheme),
        path="/ws" if parts.path in ("", "/") else parts.path,
    )
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise CannotConnectError(remedy, retryable=False)
    return parts.geturl(), _is_loopback(parts.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
