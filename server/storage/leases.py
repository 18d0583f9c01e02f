"""Leases: who of a fleet does a piece of work that one doing is enough for."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from server.storage.cancelling import end_tasks
from server.storage.faults import StorageError

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

PREFIX = "lease:"

RELEASE_MARGIN_S = 1.0
"""A lease with less time left is not deleted but left to lapse: a `DEL` that is under way for
longer than this could hit the next owner's."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on `name` until `until` (monotonic seconds).

    `shared` is False when no server could be asked, so that other processes may hold it too.
    """

    name: str
    token: str
    until: float
    shared: bool = True


class Leases(Protocol):
    """Mutual exclusion that saves work; it is never what correctness rests on.

    Two owners at once cost a second fetch and nothing else, so a server that is down grants
    everybody a lease of their own, and no script is needed to release safely.
    """

    async def acquire(self, name: str, *, ttl_s: float) -> Lease | None:
        """The lease, or None while somebody else has it."""
        ...

    async def renew(self, lease: Lease, *, ttl_s: float) -> Lease | None:
        """The lease for `ttl_s` from now, or None when it is no longer ours."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease back; one that is no longer ours is left alone."""
        ...


class MemoryLeases:
    """Leases among the tasks of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, Lease] = {}

    async def acquire(self, name: str, *, ttl_s: float) -> Lease | None:
        """The lease, unless a live one exists."""
        held = self._held.get(name)
        if held is not None and held.until > self._clock():
            return None
        lease = Lease(name, secrets.token_hex(16), self._clock() + ttl_s)
        self._held[name] = lease
        return lease

    async def renew(self, lease: Lease, *, ttl_s: float) -> Lease | None:
        """The lease for longer, if it is still ours."""
        held = self._held.get(lease.name)
        if held is None or held.token != lease.token or held.until <= self._clock():
            return None
        renewed = Lease(lease.name, lease.token, self._clock() + ttl_s)
        self._held[lease.name] = renewed
        return renewed

    async def release(self, lease: Lease) -> None:
        """Give it back if it is still ours."""
        held = self._held.get(lease.name)
        if held is not None and held.token == lease.token:
            del self._held[lease.name]


class RedisLeases:
    """Leases of a fleet: `SET NX PX` with a random token, and no script.

    Renewing reads the token and then extends; releasing reads it and then deletes, and only
    with `RELEASE_MARGIN_S` left. Between the two steps the lease could lapse and be another's:
    then theirs lives longer (renew), or, past all margins, ends early (release). Both are
    harmless by the port's own rule.
    """

    def __init__(self, client: RedisClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock

    async def acquire(self, name: str, *, ttl_s: float) -> Lease | None:
        """The lease; an unshared one when the server cannot be asked."""
        token = secrets.token_hex(16)
        until = self._clock() + ttl_s
        try:
            reply = await self._client.call(
                "SET", PREFIX + name, token, "NX", "PX", round(ttl_s * 1000)
            )
        except StorageError:
            return Lease(name, token, until, shared=False)
        return Lease(name, token, until) if reply else None

    async def renew(self, lease: Lease, *, ttl_s: float) -> Lease | None:
        """The lease for longer; while the server is away it counts as ours."""
        until = self._clock() + ttl_s
        if lease.shared:
            try:
                if not await self._is_ours(lease):
                    return None
                await self._client.call("PEXPIRE", PREFIX + lease.name, round(ttl_s * 1000))
            except StorageError:
                return lease
        return Lease(lease.name, lease.token, until, shared=lease.shared)

    async def release(self, lease: Lease) -> None:
        """Delete the key if it is certainly ours, else let it lapse."""
        if not lease.shared or self._clock() > lease.until - RELEASE_MARGIN_S:
            return
        try:
            if await self._is_ours(lease):
                await self._client.call("DEL", PREFIX + lease.name)
        except StorageError:
            return

    async def _is_ours(self, lease: Lease) -> bool:
        return await self._client.call("GET", PREFIX + lease.name) == lease.token.encode()


@contextlib.asynccontextmanager
async def keeping(leases: Leases, lease: Lease, *, ttl_s: float) -> AsyncIterator[None]:
    """Renew the lease three times in its life while the block runs, then give it back."""
    latest = lease

    async def renew() -> None:
        nonlocal latest
        while True:
            await asyncio.sleep(ttl_s * 0.3)
            renewed = await leases.renew(latest, ttl_s=ttl_s)
            if renewed is None:
                return
            latest = renewed

    keeper = asyncio.create_task(renew(), name=f"lease-{lease.name}")
    try:
        yield
    finally:
        await end_tasks(keeper)
        await leases.release(latest)
