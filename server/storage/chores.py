"""Chores: what one node of a fleet does from time to time, under a lease in the store of record.

The lease is in the store that the chore works on, so that who can reach the one can reach the
other, and the time of the last run outlives every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Chores(Protocol):
    """Leases by name. All methods may raise `StoreUnavailableError`; times are Unix ms."""

    async def claim(self, name: str, token: str, *, now: int, until: int, every_ms: int) -> bool:
        """Take a chore that was last done `every_ms` ago or longer, unless somebody has it."""
        ...

    async def renew(self, name: str, token: str, *, until: int) -> bool:
        """Keep it for longer; False when it is no longer ours."""
        ...

    async def release(self, name: str, token: str, *, done_at: int | None) -> None:
        """Give it back: done at a time, or not done, which leaves it to whoever asks next."""
        ...


CLAIM = """
INSERT INTO chores (name, token, leased_until, done_at) VALUES ({0}, {1}, {2}, 0)
ON CONFLICT (name) DO UPDATE SET token = excluded.token, leased_until = excluded.leased_until
WHERE chores.leased_until <= {3} AND chores.done_at <= {4} RETURNING name
"""
RENEW = "UPDATE chores SET leased_until = {0} WHERE name = {1} AND token = {2} RETURNING name"
RELEASE = (
    "UPDATE chores SET leased_until = 0, token = '', done_at = coalesce({0}, done_at)"
    " WHERE name = {1} AND token = {2}"
)
"""Statements of both databases, but for their place holders."""


@dataclass(slots=True)
class _Chore:
    token: str
    leased_until: int
    done_at: int = 0


class MemoryChores:
    """The twin in memory."""

    def __init__(self) -> None:
        self._known: dict[str, _Chore] = {}

    async def claim(self, name: str, token: str, *, now: int, until: int, every_ms: int) -> bool:
        """Take it."""
        chore = self._known.setdefault(name, _Chore("", 0))
        if chore.leased_until > now or chore.done_at > now - every_ms:
            return False
        chore.token, chore.leased_until = token, until
        return True

    async def renew(self, name: str, token: str, *, until: int) -> bool:
        """Keep it."""
        chore = self._known.get(name)
        if chore is None or chore.token != token:
            return False
        chore.leased_until = until
        return True

    async def release(self, name: str, token: str, *, done_at: int | None) -> None:
        """Give it back."""
        chore = self._known.get(name)
        if chore is not None and chore.token == token:
            chore.token, chore.leased_until = "", 0
            chore.done_at = chore.done_at if done_at is None else done_at
