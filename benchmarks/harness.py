"""What the benchmarks share: real processes, percentiles, one table."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import websockets
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
START_S = 30.0
SUBPROTOCOL = "manicule.v1"


@contextmanager
def running(
    command: Sequence[str],
    pattern: str,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Start a process, give the first match of `pattern` in its output, stop it at the end.

    `core` pins it to one core, so that server and load do not take each other's time.
    """
    with launched(command, pattern, core, env) as (found, _):
        yield found


@contextmanager
def launched(
    command: Sequence[str],
    pattern: str,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, int]]:
    """Do as `running` does, and give the process' id too."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield _first_match(process, pattern), process.pid
    finally:
        process.terminate()
        process.wait(START_S)


def _first_match(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(pattern, line)
        if found:
            return found[0]
    raise SystemExit(f"{process.args!r} ended before it was ready")


@contextmanager
def server(model: str, *options: str, core: int | None = None, **settings: str) -> Iterator[str]:
    """Start a manicule server; give the URL of its socket. `settings` go in as variables."""
    with server_process(model, *options, core=core, **settings) as (url, _):
        yield url


@contextmanager
def server_process(
    model: str, *options: str, core: int | None = None, **settings: str
) -> Iterator[tuple[str, int]]:
    """Do as `server` does, and give the process' id too."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "server", "serve", "--port", "0", "--model", model),
            *("--data-dir", folder, *options),
        ]
        env = {f"MANICULE_{name.upper()}": value for name, value in settings.items()}
        with launched(command, r"http://[\d.]+:\d+", core, env) as (address, pid):
            yield address.replace("http", "ws", 1) + "/ws", pid


async def ask(socket: websockets.ClientConnection, product_id: str, question: str) -> float:
    """Ask and read to the end; return the seconds to the first delta."""
    started = time.perf_counter()
    first = None
    await socket.send(
        json.dumps({"type": "response.create", "product_id": product_id, "input": question})
    )
    async for frame in socket:
        if first is None and '"response.output_text.delta"' in str(frame):
            first = time.perf_counter() - started
        if '"response.completed"' in str(frame):
            break
        if '"type":"error"' in str(frame) or '"response.failed"' in str(frame):
            raise SystemExit(f"the server refused: {frame!s}")
    assert first is not None
    return first


def connect(url: str) -> websockets.connect:
    """Return a connection as clients make it."""
    return websockets.connect(
        url,
        subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
        compression=None,
        max_size=2**20,
    )


async def pause_until(due: float) -> None:
    """Sleep until `due` of the performance counter."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the one table of a benchmark."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=max(100, Console().width)).print(table)
