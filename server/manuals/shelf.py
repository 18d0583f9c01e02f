"""The prepared manuals of this process: bounded in bytes, popular ones staying, never untrue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from server.manuals.prepared import Prepared

CANDIDATES = 8
"""How many of the least recently used manuals compete for leaving."""

HALF_LIFE_S = 600.0
"""After this long without being asked a manual's popularity counts half."""


@dataclass(slots=True)
class Held:
    """A manual on the shelf.

    `suspect`: the shared cache may have another text by now. `shared`: the shared cache took the
    text, so that its absence there is news.
    """

    prepared: Prepared
    source_key: str
    size: int
    suspect: bool
    shared: bool
    hits: float
    hit_at: float


@dataclass(slots=True)
class Reading:
    """A read of the shared cache that is under way; `spoiled` when the text changed meanwhile."""

    spoiled: bool = False


class Shelf:
    """Prepared manuals by id.

    What leaves when it is full: of the `CANDIDATES` least recently used the one with the fewest
    hits for its bytes, hits halving every `HALF_LIFE_S`. So a manual that is asked often
    outlives a sweep over many that are asked once, and a small one outlives a large one that is
    asked as often. A manual larger than the whole bound is not kept. `now` is in seconds.
    """

    def __init__(self, max_bytes: int, now: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._readings: dict[str, list[Reading]] = {}
        self.size_bytes = 0

    def __contains__(self, manual_id: str) -> bool:
        return manual_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, manual_id: str) -> Held | None:
        """The manual, counted as asked."""
        held = self._held.get(manual_id)
        if held is not None:
            self._held.move_to_end(manual_id)
            now = self._now()
            held.hits = self._faded(held, now) + 1
            held.hit_at = now
        return held

    def peek(self, manual_id: str) -> Held | None:
        """The manual, without counting."""
        return self._held.get(manual_id)

    def put(
        self, prepared: Prepared, source_key: str, *, suspect: bool = False, shared: bool = True
    ) -> int:
        """Keep a manual, replacing the one of the same id; returns how many others left."""
        manual_id = prepared.manual.id
        before = self._held.get(manual_id)
        hits, hit_at = (before.hits, before.hit_at) if before else (1.0, self._now())
        self.drop(manual_id)
        size = prepared.size_bytes
        if size > self._max_bytes:
            return 0
        self._held[manual_id] = Held(prepared, source_key, size, suspect, shared, hits, hit_at)
        self.size_bytes += size
        evicted = 0
        while self.size_bytes > self._max_bytes:
            self.drop(self._least_wanted(manual_id))
            evicted += 1
        return evicted

    def drop(self, manual_id: str) -> None:
        """Forget a manual."""
        held = self._held.pop(manual_id, None)
        if held is not None:
            self.size_bytes -= held.size

    def suspect(self, manual_id: str | None) -> None:
        """The shared cache changed for one manual, or (None) may have for all."""
        if manual_id is None:
            for held in self._held.values():
                held.suspect = True
            for readings in self._readings.values():
                for reading in readings:
                    reading.spoiled = True
            return
        if manual_id in self._held:
            self._held[manual_id].suspect = True
        for reading in self._readings.get(manual_id, ()):
            reading.spoiled = True

    @contextmanager
    def reading(self, manual_id: str) -> Iterator[Reading]:
        """Mark a read as under way. What it brings is trusted only if not `spoiled` by its end:
        the change may have been told before the old text arrived.
        """
        reading = Reading()
        self._readings.setdefault(manual_id, []).append(reading)
        try:
            yield reading
        finally:
            readings = self._readings[manual_id]
            readings[:] = [other for other in readings if other is not reading]
            if not readings:
                del self._readings[manual_id]

    def _least_wanted(self, newest: str) -> str:
        now = self._now()
        oldest = islice((one for one in self._held if one != newest), CANDIDATES)
        return min(oldest, key=lambda one: self._faded(self._held[one], now) / self._held[one].size)

    def _faded(self, held: Held, now: float) -> float:
        return float(held.hits * 0.5 ** (max(0.0, now - held.hit_at) / HALF_LIFE_S))
