"""What the kernel says of a process: its memory, its processor time, its open files."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryKiB:
    """Of one process: resident; its share of what is resident; what is its own alone."""

    rss: int
    pss: int
    uss: int

    def minus(self, other: MemoryKiB) -> MemoryKiB:
        """Return what was added since `other`."""
        return MemoryKiB(self.rss - other.rss, self.pss - other.pss, self.uss - other.uss)


def memory_of(pid: int) -> MemoryKiB:
    """Read /proc/PID/smaps_rollup."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return MemoryKiB(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


def cpu_s(pid: int) -> float:
    """Return what all threads of the process have computed, in seconds.

    The scheduler's own count in nanoseconds; what has ended has none.
    """
    spent_ns = 0
    with suppress(OSError):  # of the process or of a thread that has just ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            spent_ns += int((thread / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def open_files(pid: int) -> int:
    """Return how many descriptors the process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
