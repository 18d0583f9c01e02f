"""Whose address a connection has: the peer's, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import Headers

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

MAX_FORWARDED = 16
"""Addresses read of a chain of proxies, from its near end; a longer one is made up."""

_HOUSEHOLD_BITS = 64


def read_networks(texts: Iterable[str]) -> Networks:
    """Return networks in CIDR form, or single addresses; raises `ValueError` for another."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def client_address(scope: Mapping[str, Any], trusted: Networks) -> str:
    """Return the address of who asks; "" on a socket that has none.

    That is the peer's. Only when the peer is a trusted proxy its `X-Forwarded-For` is read, from
    the right, and the first address that is no trusted proxy's itself counts: what stands left of
    it was written by a stranger. What is no address ends the reading.
    """
    peer = _read(scope["client"][0]) if scope.get("client") else None
    if peer is None:
        return ""
    found = peer
    if _is_trusted(peer, trusted):
        said = ",".join(Headers(scope=dict(scope)).getlist("x-forwarded-for")).split(",")
        for text in reversed(said[-MAX_FORWARDED:]):
            address = _read(text.strip())
            if address is None:
                break
            found = address
            if not _is_trusted(address, trusted):
                break
    return str(found)


def limit_key(address: str) -> str:
    """Return what limits count: an IPv4 address, and of IPv6 the network that one household has."""
    found = _read(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _HOUSEHOLD_BITS), strict=False))
    return address


def _is_trusted(address: Address, trusted: Networks) -> bool:
    return any(address in network for network in trusted)


def _read(text: str) -> Address | None:
    """Return the address in `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
