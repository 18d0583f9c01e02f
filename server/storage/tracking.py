"""Being told when a cached text changes, so that what this process derived from it stays true.

Whoever reads a text while its invalidation arrives must not keep what they read;
the listener's part of that bargain is to be called before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Listener = Callable[[str | None], None]
"""Called with the id of the manual whose text changed, or None: any may have."""


class Invalidations(Protocol):
    """Tells its listener what changed in the shared cache."""

    @property
    def live(self) -> bool:
        """True while every change is certain to be told."""
        ...

    def listen(self, listener: Listener) -> None:
        """Name the one who is told; called once, before `start`."""
        ...

    async def start(self) -> None:
        """Begin to follow, in the background; returns at once."""
        ...

    async def aclose(self) -> None:
        """End following."""
        ...


class NoInvalidations:
    """The twin for a cache that only this process writes: nothing is ever changed by others."""

    @property
    def live(self) -> bool:
        """Always."""
        return True

    def listen(self, listener: Listener) -> None:
        """Nothing will be told."""

    async def start(self) -> None:
        """Nothing to follow."""

    async def aclose(self) -> None:
        """Nothing to end."""
