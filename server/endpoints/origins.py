"""Which web pages may open a socket: an exact list, and the server's own page."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def _host_and_port(netloc: str, scheme: str) -> tuple[str, int] | None:
    """Return the host and port in a `Host` header or an origin's authority, or None."""
    if "@" in netloc or not netloc.isascii():
        return None
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname, port if port is not None else _DEFAULT_PORTS[scheme]


def _cannot_be_rebound(host: str) -> bool:
    """Whether no DNS answer can make this host another machine's page."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class OriginRule:
    """Decides by the `Origin` and `Host` headers of a request.

    `allowed` are origins, compared letter by letter. Requests without an `Origin` do not come
    from a web page and pass. A page that the server served itself passes when its host is an
    address or localhost: a name could be pointed here by a stranger's DNS.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)
        self._hosts = frozenset(urlsplit(origin).hostname for origin in self._allowed)

    def allows(self, origins: list[str], host: str | None) -> bool:
        """Whether a request with these `Origin` headers (normally one or none) may go on."""
        if not origins:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0]
        return origin in self._allowed or self._is_own(origin, host)

    def knows_host(self, host: str | None) -> bool:
        """Whether a request to this `Host` can only be meant for this server.

        A browser sends no `Origin` with the reads of a page that a stranger's DNS pointed here, but
        it sends that page's name: only addresses, localhost and the hosts of allowed origins pass.
        """
        ours = _host_and_port(host, "http") if host is not None else None
        return ours is not None and (_cannot_be_rebound(ours[0]) or ours[0] in self._hosts)

    def _is_own(self, origin: str, host: str | None) -> bool:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS or host is None:
            return False
        theirs = _host_and_port(authority, scheme)
        ours = _host_and_port(host, scheme)
        return theirs is not None and theirs == ours and _cannot_be_rebound(theirs[0])
