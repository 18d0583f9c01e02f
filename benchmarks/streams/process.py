"""A server as a process on a core of its own, and the processor time that it takes."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT

STOP_S = 10.0
"""How long a server may take to end before it is killed."""

SERVER_PORTS = (20_000, 32_000)
"""Below those that Linux gives to clients."""

LOG_BYTES = 2000
"""The end of a server's output that is shown when it does not start."""


class CannotStartError(Exception):
    """A server ended, or did not listen in time; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: where it listens, and its first process."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Return what the process and all below it have computed so far."""
        return cpu_s(self.pid)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, its threads and all processes below it."""
    spent_ns = 0
    below: list[str] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError, ValueError):
            spent_ns += int((thread / "schedstat").read_text().split()[0])
            below += (thread / "children").read_text().split()
    return spent_ns / 1e9 + sum(cpu_s(int(child)) for child in below)


def core_busy_s(core: int) -> float:
    """Return how long a core has computed since the machine began, whoever it was for."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq = map(int, ticks[:7])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"there is no core {core}")


def free_port() -> int:
    """Return a port that nobody listens on.

    One that the kernel gives to no client: a client that tries whether somebody listens yet may be
    given that very port, connect to itself, and keep the server from it.
    """
    while True:
        port = random.randrange(*SERVER_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def serving(
    command: Sequence[str],
    *,
    port: int,
    core: int,
    env: Mapping[str, str],
    start_s: float,
) -> Iterator[Serving]:
    """Start `command` on `core`, wait until `port` is listened on, stop the whole group at the end.

    Raises `CannotStartError`.
    """
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStartError(str(error)) from error
        try:
            deadline = time.monotonic() + start_s
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
                    end = log.read().decode(errors="replace")
                    raise CannotStartError(f"not listening: {end}")
                time.sleep(0.1)
            yield Serving(port, process.pid)
        finally:
            _stop(process)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
