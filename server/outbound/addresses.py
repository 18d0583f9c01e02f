"""Which addresses may be reached: the form of the URL, and the IP address."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

MAX_URL_CHARS: Final = 4096

Network = IPv4Network | IPv6Network

_DENIED_V4: Final = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
            *("192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
"""IANA's special-purpose registry, whole blocks: Python's own table differs between releases,
and what is in these blocks is nothing that the public may serve from."""

_DENIED_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # unspecified, loopback, IPv4-compatible
            "64:ff9b:1::/48",  # NAT64 of a local network
            "100::/32",  # discard, dummy
            "2001::/23",  # protocol assignments, with Teredo
            "2001:db8::/32",
            "2002::/16",  # 6to4: withdrawn, and holds an IPv4 address of the sender's choice
            "2620:4f:8000::/48",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ),
    )
)
_DENIED: Final[tuple[Network, ...]] = (*_DENIED_V4, *_DENIED_V6)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""The two forms that are another way to write an IPv4 address; that one is judged instead."""

_PRIVATE: Final[tuple[Network, ...]] = (
    *map(IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
"""What `allow_private` opens. Link-local stays shut: clouds keep their metadata there."""

_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class AddressError(Exception):
    """An address that may not be reached; the message goes on after "The address ..."."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL in its parts; `host` in lower case, without brackets."""

    url: str
    scheme: str
    host: str
    port: int


def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Whether a connection to this IP address may be made. What is not an address is not allowed.

    The same answer on every Python release: our own table first, `is_global` and `is_multicast`
    as a second opinion on what it leaves.
    """
    try:
        judged = _unwrapped(ip_address(address))
    except ValueError:
        return False
    if isinstance(judged, IPv6Address) and judged.scope_id is not None:
        return False
    if allow_private and _within(judged, _PRIVATE):
        return True
    if _within(judged, _DENIED):
        return False
    return judged.is_global and not judged.is_multicast


def _within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(network.version == address.version and address in network for network in networks)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def check_url(url: str, *, allow_http: bool, allow_private: bool) -> Target:
    """Return the parts of a URL that may be reached; raises `AddressError`.

    https (http by option), ports 443 and 80 (any with `allow_private`), no credentials, and a
    host that is a plain DNS name or an IP address in its usual form. Forms that programs read
    differently (127.1, 0x7f000001, full-width digits, backslashes) are refused.
    """
    if len(url) > MAX_URL_CHARS or re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressError("is too long or holds spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise AddressError("is not a URL") from None
    if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not allow_http):
        raise AddressError("is not https (plain http is an option: allow_http)")
    if "@" in parts.netloc:
        raise AddressError("holds a user name or password")
    if not _host_is_plain(host, bracketed=parts.netloc.startswith("[")):
        raise AddressError("has a host that is neither a plain DNS name nor a usual IP address")
    port = port if port is not None else {"https": 443, "http": 80}[parts.scheme]
    if not allow_private and port not in (443, 80):
        raise AddressError("has a port other than 443 and 80")
    return Target(url, parts.scheme, host, port)


def _host_is_plain(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        return "%" not in host and _is_address(host, IPv6Address)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return _is_address(host, IPv4Address)
    return len(host) <= 253 and _NAME.fullmatch(host) is not None


def _is_address(host: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True
