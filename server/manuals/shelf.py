"""The prepared manuals of this process: bounded in bytes, popular ones staying, never untrue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from server.manuals.prepared import Prepared

RECENT_SHARE = 2 / 3
"""Of the manuals held, this share was asked last and does not compete for leaving: who asks about
a manual goes on asking about it for a while, however seldom others do. With a smaller share
popularity counts for more, and conversations fare worse than with a plain LRU."""

MIN_CANDIDATES = 8
"""Manuals that compete at least, where few are held."""

HALF_LIFE_ASKS = 16
"""After this many asks for each manual held, an ask counts half: long enough to tell the popular
from the lucky, short enough to forget last week's. Counted in asks, it fits a busy node and an
idle one. `benchmarks/cache.py` measures this and the share above."""

MAX_REMEMBERED = 4096
"""Manuals whose asks are remembered, about 200 bytes each, also of those that have left."""


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


@dataclass(slots=True)
class Reading:
    """A read of the shared cache that is under way; `spoiled` when the text changed meanwhile."""

    spoiled: bool = False


class Shelf:
    """Prepared manuals by id.

    What leaves when it is full: of the third that was asked least recently the one with the fewest
    asks for its bytes. Asks are remembered of manuals that have left, and fade. So a manual that
    is asked often outlives a sweep over many that are asked once and is known again after one that
    it did not, and a small one outlives a large one that is asked as often. A manual larger than
    the whole bound is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._asked: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._asks = 0
        self._readings: dict[str, list[Reading]] = {}
        self.size_bytes = 0

    def __contains__(self, manual_id: str) -> bool:
        return manual_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, manual_id: str) -> Held | None:
        """The manual if it is here; counted as asked in either case."""
        self._asks += 1
        self._count(manual_id)
        held = self._held.get(manual_id)
        if held is not None:
            self._held.move_to_end(manual_id)
        return held

    def peek(self, manual_id: str) -> Held | None:
        """The manual, without counting."""
        return self._held.get(manual_id)

    def put(
        self, prepared: Prepared, source_key: str, *, suspect: bool = False, shared: bool = True
    ) -> int:
        """Keep a manual, replacing the one of the same id; returns how many others left."""
        manual_id = prepared.manual.id
        self.drop(manual_id)
        size = prepared.size_bytes
        if size > self._max_bytes:
            return 0
        if manual_id not in self._asked:
            self._count(manual_id)
        self._held[manual_id] = Held(prepared, source_key, size, suspect, shared)
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

    def _count(self, manual_id: str) -> None:
        self._asked[manual_id] = (self._faded(manual_id) + 1, self._asks)
        self._asked.move_to_end(manual_id)
        if len(self._asked) > MAX_REMEMBERED:
            self._asked.popitem(last=False)

    def _least_wanted(self, newest: str) -> str:
        others = len(self._held) - 1
        count = max(MIN_CANDIDATES, round(others * (1 - RECENT_SHARE)))
        oldest = islice((one for one in self._held if one != newest), count)
        return min(oldest, key=lambda one: self._faded(one) / self._held[one].size)

    def _faded(self, manual_id: str) -> float:
        hits, asked_at = self._asked.get(manual_id, (0.0, 0))
        half_life = HALF_LIFE_ASKS * max(MIN_CANDIDATES, len(self._held))
        return float(hits * 0.5 ** ((self._asks - asked_at) / half_life))
