"""How much memory there is left, so that questions are refused before the system ends the process.

Linux only: where `/proc` and cgroups do not exist nothing is known and nothing is refused.
"""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
FULL_SHARE = 0.9
"""Of a limit that ends the process when it is met; the rest is for answers that already run."""

CALM_SHARE = 0.95
"""Of the mark: below it questions are taken again, so that the server does not flap at the mark."""

LOOK_S = 0.1
"""How old a reading may be: one costs 10 to 50 µs, and questions come by the thousand."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One bound: `used` gives bytes, `limit` the mark in bytes, each None when it is not known."""

    name: str
    used: Callable[[], int | None]
    limit: Callable[[], int | None]

    def share(self) -> float:
        """What is used as a share of the mark; 0 when that is not known."""
        limit = self.limit()
        used = self.used() if limit else None
        return used / limit if limit and used is not None else 0.0


class MemoryGuard:
    """Whether memory is short: from the first mark that is reached until all are calm again."""

    def __init__(
        self, marks: Iterable[Mark] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._marks = tuple(marks)
        self._clock = clock
        self._looked_at = float("-inf")
        self._short = False
        self.share = 0.0
        self.nearest = ""

    def is_short(self) -> bool:
        """Look, unless that was just done, and say."""
        if self._marks and self._clock() - self._looked_at >= LOOK_S:
            self._looked_at = self._clock()
            self.share, self.nearest = max((mark.share(), mark.name) for mark in self._marks)
            self._short = self.share >= (CALM_SHARE if self._short else 1)
        return self._short


def find_marks(high_water_bytes: int, cgroup: Path = CGROUP) -> list[Mark]:
    """Return the marks of this process: the operator's own, the container's, the process' limit.

    `high_water_bytes` bounds resident memory; 0 for none. Of a container counts what cannot be
    dropped (anonymous memory), that of children and other workers with it.
    """
    marks = [
        Mark("container", lambda: _anonymous_bytes(cgroup), lambda: _container_mark(cgroup)),
        Mark("address_space", lambda: _statm(0), _address_space_mark),
    ]
    if high_water_bytes:
        marks.append(Mark("resident", resident_bytes, lambda: high_water_bytes))
    return marks


def resident_bytes() -> int | None:
    """Return this process' resident memory, or None where the system does not say."""
    return _statm(1)


def give_back() -> None:
    """Return to the system what the allocator holds free; does nothing without glibc.

    Walks the heap and may take some ten milliseconds: call it in a thread.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _statm(column: int) -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[column])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _address_space_mark() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else int(soft * FULL_SHARE)


def _container_mark(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(int(limit) * FULL_SHARE) if limit.isdigit() else None  # "max" is none


def _anonymous_bytes(cgroup: Path) -> int | None:
    try:
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("anon ")), None)
