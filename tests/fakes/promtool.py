"""Prometheus' own programs: on the PATH, else unpacked by `scripts/require-prometheus`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[2] / ".tools" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """Path of `promtool` or `prometheus`; fails the test when there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.fail(f"no {name}: run scripts/require-prometheus, as `make test` does")
    return found


def promtool(*arguments: str | Path) -> str:
    """What promtool says; fails the test when it finds a fault."""
    run = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
