"""On what machine, with what software and under what load a benchmark was run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

PACKAGES = (
    "starlette", "uvicorn", "uvloop", "httptools", "websockets", "httpx", "redis", "asyncpg",
    "orjson", "msgspec", "pypdf", "pypdfium2", "rapidfuzz", "picows", "aiohttp", "socketify",
)  # fmt: skip
"""Those whose version can change a figure; the ones that are not installed are left out."""


class Conditions(msgspec.Struct, frozen=True):
    """When and where. `started_at` is Unix seconds, `load` the load average of the last minute."""

    started_at: float
    date: str
    python: str
    kernel: str
    cpu: str
    cores: int
    memory_gib: float
    load: float
    commit: str
    versions: dict[str, str]


def conditions() -> Conditions:
    """Look at this machine, now."""
    now = time.time()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Conditions(
        started_at=now,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        kernel=f"{platform.system()} {platform.release()}",
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=round(memory / 2**30, 1),
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
        versions=dict(_versions()),
    )


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _commit() -> str:
    """Return the commit, with a plus where files differ from it; empty outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
