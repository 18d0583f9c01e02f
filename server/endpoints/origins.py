"""Which web pages may open a socket: an exact list, and the server's own page."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


_AUTHORITY = re.compile(
    r"(?P<host>[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9]\d{0,4}))?",
    re.I,
)


def host_and_port(netloc: str, scheme: str = "http") -> tuple[str, int] | None:
    """Return the host, in small letters, and port of a `Host` header or an origin; None if bad."""
    found = _AUTHORITY.fullmatch(netloc) if netloc.isascii() else None
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    return found["host"].lower().strip("[]"), port


def cannot_be_rebound(host: str) -> bool:
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

    `allowed` are origins, compared letter by letter; `hosts` are further names of this server.
    Requests without an `Origin` do not come from a web page and pass. A page that the server served
    itself passes when its host is an address or localhost: a name could be pointed here by a
    stranger's DNS.
    """

    def __init__(self, allowed: Iterable[str], hosts: Iterable[str] = ()) -> None:
        self._allowed = frozenset(allowed)
        self._hosts = {urlsplit(origin).hostname for origin in self._allowed}
        self._hosts |= {host.lower() for host in hosts}

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
        ours = host_and_port(host) if host is not None else None
        return ours is not None and (cannot_be_rebound(ours[0]) or ours[0] in self._hosts)

    def _is_own(self, origin: str, host: str | None) -> bool:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS or host is None:
            return False
        theirs = host_and_port(authority, scheme)
        ours = host_and_port(host, scheme)
        return theirs is not None and theirs == ours and cannot_be_rebound(theirs[0])
