"""Models that asked to be left alone: the port to a fleet, and the twin that lives in a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

MAX_COOLING_S = 600.0
"""The longest rest. A provider that wants more (a day's quota) is asked again every ten minutes,
for one refused call, since quotas are raised and clocks differ."""


class Cooling(Protocol):
    """Who rests for how long, shared by the nodes that call the same models.

    Neither method fails: a node that cannot reach the others knows what it was told itself.
    """

    async def cool(self, model: str, seconds: float) -> None:
        """Let nobody call `model` for `seconds`; a rest that is longer already stays."""
        ...

    async def left(self, models: Sequence[str]) -> dict[str, float]:
        """Seconds that are left for each of `models` that rests."""
        ...


class MemoryCooling:
    """The rests of this process. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    async def cool(self, model: str, seconds: float) -> None:
        """Note the rest."""
        self._until[model] = max(self._until.get(model, 0.0), self._clock() + seconds)

    async def left(self, models: Sequence[str]) -> dict[str, float]:
        """Return what is left, from memory."""
        now = self._clock()
        rests = {model: self._until.get(model, 0.0) - now for model in models}
        return {model: left for model, left in rests.items() if left > 0}
