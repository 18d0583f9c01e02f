"""Who may come in: sockets opened a minute, and open at once, of one address and of one person."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from protocol.errors import EventError
from protocol.rates import TokenBucket

HANDSHAKES_PER_MINUTE = 6000
"""100 a second: an office behind one address comes back after a restart, and a flood does not."""

PER_ADDRESS = 2000
PER_USER = 100

MAX_ADDRESSES = 20_000
"""Buckets at once (some 6 MB); beyond it those idle longest start anew."""


@dataclass(slots=True, eq=False)
class Visit:
    """One open socket: where it comes from and, once that is known, who it is."""

    address: str
    user: str | None = None


class Doorkeeper:
    """Counts the sockets of one process, exactly. Clocks are seconds, monotonic."""

    def __init__(
        self,
        handshakes_per_minute: int = HANDSHAKES_PER_MINUTE,
        per_address: int = PER_ADDRESS,
        per_user: int = PER_USER,
    ) -> None:
        self._per_minute = handshakes_per_minute
        self._per_address = per_address
        self._per_user = per_user
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._of_address: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()

    @property
    def inside(self) -> int:
        """How many have entered and not left."""
        return self._of_address.total()

    def knock(self, address: str, now: float) -> None:
        """Count one handshake; raises `EventError("rate_limited")` beyond the rate."""
        bucket = self._buckets.pop(address, None) or TokenBucket(self._per_minute)
        self._buckets[address] = bucket
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        wait_s = bucket.take(now)
        if wait_s:
            raise EventError(
                "rate_limited",
                f"More than {self._per_minute} sockets opened in a minute from one address; wait",
                retry_after_ms=int(wait_s * 1000) + 1,
            )

    def enter(self, address: str) -> Visit:
        """Take a place; raises `EventError("rate_limited")` when the address has all of its own."""
        if self._of_address[address] >= self._per_address:
            raise EventError(
                "rate_limited",
                f"{self._per_address} sockets are open from this address; close one. "
                "Behind a proxy the operator sets the trusted proxies",
            )
        self._of_address[address] += 1
        return Visit(address)

    def recognise(self, visit: Visit, user: str | None) -> None:
        """Count the visit as the user's; raises `EventError` when that one has all of its own."""
        if user == visit.user:
            return
        if user is not None and self._of_user[user] >= self._per_user:
            raise EventError(
                "rate_limited", f"{self._per_user} sockets of yours are open; close one"
            )
        _take_off(self._of_user, visit.user)
        visit.user = user
        if user is not None:
            self._of_user[user] += 1

    def leave(self, visit: Visit) -> None:
        """Give the place back."""
        _take_off(self._of_address, visit.address)
        _take_off(self._of_user, visit.user)
        visit.user = None


def _take_off(counter: Counter[str], name: str | None) -> None:
    if name is None:
        return
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
