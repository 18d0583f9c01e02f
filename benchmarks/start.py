"""What a start costs: time until the server is ready, and the memory with which it then waits.

Compared with the least a Starlette application on uvicorn can be, for the default set-up (demo
manuals, SQLite, no services), with Redis as cache and log, and with PostgreSQL; and the commands of
the command line with a Python that does nothing. Each round starts every one once. What is
installed, and our own modules, are compiled before: a first start after an installation is slower.

    python -m benchmarks.start [--rounds 7] [--settle 3]
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections import defaultdict
from contextlib import AbstractContextManager, ExitStack

from benchmarks.arguments import Arguments
from benchmarks.harness import ROOT, launched, server_process
from benchmarks.processes import cpu_s, memory_of
from benchmarks.results import Bars, Measure, Result
from benchmarks.services import postgres, redis_log
from benchmarks.tables import publish

CORE = 0
BARE = "bare Starlette on uvicorn"
DEFAULT, WITH_REDIS = "manicule, default", "manicule, with Redis"
WITH_POSTGRES = "manicule, with PostgreSQL"
NOTHING = "python -c pass"
SERVERS, COMMANDS = "servers", "commands"

CPU_GOAL_MS = 800.0
MEMORY_GOAL_MIB = 70.0
HELP_GOAL_MS = 300.0

Launch = AbstractContextManager[tuple[str, int]]
Rounds = dict[str, dict[str, list[float]]]


def launch(name: str, redis: str, database: str) -> Launch:
    """Return what starts a server, to be entered; it is ready then."""
    if name == BARE:
        return launched([sys.executable, "-m", "benchmarks.bare_hello"], r"http://[\d.]+:\d+", CORE)
    settings = {
        DEFAULT: {},
        WITH_REDIS: {"cache_url": redis, "log_url": redis},
        WITH_POSTGRES: {"store": database},
    }[name]
    return server_process("extractive", core=CORE, **settings)


def start_server(name: str, redis: str, database: str, settle_s: float) -> dict[str, float]:
    """Start a server once; return what that took, and its memory `settle_s` seconds later."""
    began = time.perf_counter()
    with launch(name, redis, database) as (_, pid):
        wall_ms = (time.perf_counter() - began) * 1000
        cpu_ms = cpu_s(pid) * 1000
        time.sleep(settle_s)
        memory = memory_of(pid)
    return {"wall": wall_ms, "cpu": cpu_ms, "rss": memory.rss / 1024, "pss": memory.pss / 1024}


def run_command(words: list[str]) -> dict[str, float]:
    """Run a program to its end; return what that took."""
    began = time.perf_counter()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {CORE})
    _, status, used = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return {"wall": wall_ms, "cpu": (used.ru_utime + used.ru_stime) * 1000}


def measure(options: Namespace) -> tuple[Rounds, Rounds]:
    """Return the rounds of servers and of commands; one more round before them is not counted."""
    servers: Rounds = defaultdict(lambda: defaultdict(list))
    commands: Rounds = defaultdict(lambda: defaultdict(list))
    program = [sys.executable, "-m", "server"]
    with ExitStack() as stack:
        redis = f"redis://127.0.0.1:{stack.enter_context(redis_log())}/0"
        database, _ = stack.enter_context(postgres())
        for number in range(options.rounds + 1):
            for name in (BARE, DEFAULT, WITH_REDIS, WITH_POSTGRES):
                settle_s = options.settle if number else 0.0
                note(servers[name], start_server(name, redis, database, settle_s), number)
            note(commands[NOTHING], run_command([sys.executable, "-c", "pass"]), number)
            for words in ("--version", "--help", "ask --help"):
                found = run_command([*program, *words.split()])
                note(commands[f"manicule {words}"], found, number)
    return servers, commands


def note(rounds: dict[str, list[float]], found: dict[str, float], number: int) -> None:
    """Keep what was found, unless it was in the round before the first."""
    for key, value in found.items() if number else ():
        rounds[key].append(value)


def make_result(options: Namespace) -> Result:
    """Return the empty result."""
    result = Result(
        "start",
        "Starting",
        "How long until a server is ready, and how much memory does it wait with?",
        [
            Measure("cpu", "processor time", "ms", ratio=True),
            Measure("wall", "until ready", "ms", ratio=True),
            Measure("rss", "resident", "MiB", ratio=True),
            Measure("pss", "proportional", "MiB"),
        ],
        quick=options.quick,
    )
    result.notes.append(f"Memory {options.settle:g} s after the server was ready.")
    result.plots += [Bars("cpu", groups=SERVERS), Bars("rss", groups=SERVERS)]
    figure = result.figure
    figure("a start", DEFAULT, "cpu", group=SERVERS, at_most=CPU_GOAL_MS)
    figure("idle after a start", DEFAULT, "rss", group=SERVERS, at_most=MEMORY_GOAL_MIB)
    figure("the help", "manicule --help", "wall", group=COMMANDS, at_most=HELP_GOAL_MS)
    return result


def main() -> None:
    arguments = Arguments("start", __doc__)
    arguments.size("--rounds", 7, 1, "starts of each")
    arguments.size("--settle", 3.0, 1.0, "seconds until memory is looked at")
    options = arguments.parse_args()
    for folder in ("benchmarks", "manicule", "prompts", "protocol", "server"):
        compileall.compile_dir(ROOT / folder, quiet=1)
    result = make_result(options)
    for group, rounds in zip((SERVERS, COMMANDS), measure(options), strict=True):
        for name, found in rounds.items():
            result.add(name, group=group, baseline=name in (BARE, NOTHING), **found)
    publish(result)


if __name__ == "__main__":
    main()
