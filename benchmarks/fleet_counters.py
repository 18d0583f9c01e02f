"""What the parts of a fleet on this machine have used so far. Part of `scale_out`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.fleet_load import Tally
from benchmarks.harness import ROOT
from benchmarks.processes import cpu_s

sys.path.insert(0, str(ROOT / "tests" / "fakes"))
from fleet import Fleet, FleetRedis


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of every part at one moment; differences of two are what is reported."""

    at: float
    words: float
    answers: float
    acks: float
    frames: float
    own_s: float
    node_s: float
    log_s: float
    cache_s: float
    balancer_s: float
    store_s: float
    log_commands: float
    cache_commands: float
    log_bytes: float
    log_in: float
    cache_out: float
    commits: float

    def since(self, earlier: Snapshot) -> Snapshot:
        """Return what was added."""
        return Snapshot(*(getattr(self, n) - getattr(earlier, n) for n in Snapshot.__slots__))


async def look(fleet: Fleet, tally: Tally) -> Snapshot:
    """Read all counters."""
    log, cache = redis_info(fleet.log), redis_info(fleet.cache)
    nodes = [one.process.pid for one in fleet.nodes if one.process is not None]
    commits = await commits_of(fleet.store.url)
    assert fleet.log.process is not None
    assert fleet.cache.process is not None
    assert fleet.store.process is not None
    return Snapshot(
        at=time.monotonic(),
        words=tally.words,
        answers=tally.answers,
        acks=tally.acks,
        frames=tally.frames,
        own_s=time.process_time(),
        node_s=sum(map(cpu_s, nodes)),
        log_s=cpu_s(fleet.log.process.pid),
        cache_s=cpu_s(fleet.cache.process.pid),
        balancer_s=cpu_s(fleet.balancer.pid),
        store_s=sum(map(cpu_s, family(fleet.store.process.pid))),
        log_commands=log["total_commands_processed"],
        cache_commands=cache["total_commands_processed"],
        log_bytes=log["used_memory"],
        log_in=log["total_net_input_bytes"],
        cache_out=cache["total_net_output_bytes"],
        commits=commits,
    )


def redis_info(server: FleetRedis) -> dict[str, float]:
    """Return the numbers of INFO."""
    found = server.run_as_admin("INFO")
    assert isinstance(found, dict)
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


async def connections_of(fleet: Fleet) -> dict[str, float]:
    """Return how many connections one node has open to each service, on average."""
    nodes = len(fleet.nodes)
    connection = await asyncpg.connect(fleet.store.url)
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'manicule'"
        store = float(await connection.fetchval(query))
    finally:
        await connection.close()
    return {
        "log": (redis_info(fleet.log)["connected_clients"] - 1) / nodes,
        "cache": (redis_info(fleet.cache)["connected_clients"] - 1) / nodes,
        "store": store / nodes,
    }


async def commits_of(url: str) -> float:
    """Return how many transactions the database has committed."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        return float(await connection.fetchval(query))
    finally:
        await connection.close()


def family(pid: int) -> Iterator[int]:
    """Yield a process and its children."""
    yield pid
    yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
