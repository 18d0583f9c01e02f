"""Which benchmarks there are, in the order in which they run, and how long each takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """The program `benchmarks.NAME`: what it measures, and about how many seconds it takes."""

    name: str
    measures: str
    seconds: int
    quick_seconds: int

    def command(self, *, quick: bool) -> list[str]:
        """Return the command that runs it."""
        return [sys.executable, "-m", f"benchmarks.{self.name}", *(["--quick"] if quick else [])]

    def limit_s(self, *, quick: bool) -> float:
        """Return after how long it is ended: it hangs, or this machine is too slow for it."""
        return 300 + 4 * (self.quick_seconds if quick else self.seconds)


SUITE = (
    Benchmark("markers", "marker parsing, a chunk", 10, 2),
    Benchmark("search", "catalog search, a keystroke", 60, 10),
    Benchmark("retrieval", "recall and cost of retrieval", 120, 30),
    Benchmark("extraction", "pages of PDF extraction a second", 120, 20),
    Benchmark("cache", "manuals found prepared, against LRU and the ideal", 120, 15),
    Benchmark("manuals", "from the question to the first token, cold and warm", 90, 20),
    Benchmark("streaming", "answers that one core streams at once", 1700, 280),
    Benchmark("added_latency", "later than from the model's server itself", 1200, 200),
    Benchmark("bursts", "what many questions at once cost those who read", 300, 25),
    Benchmark("start", "time and memory of a start", 60, 15),
    Benchmark("memory", "memory of sockets, answers and churn", 1250, 180),
    Benchmark("scale_out", "what an answer costs as nodes are added", 420, 100),
    Benchmark("resume", "going on with answers on another node", 120, 40),
    Benchmark("feedback", "acknowledged judgements a second", 120, 30),
    Benchmark("outage", "judgements while PostgreSQL is away", 180, 40),
    Benchmark("exports", "export rows a second", 90, 15),
    Benchmark("rollups", "statistics over many judgements", 300, 40),
)
