"""Run the benchmarks one after the other and write a report of them with plots.

Each is a process of its own; one that fails does not stop the others. Results go to
benchmarks/results (quick ones to its folder `quick`), what each printed to NAME.log beside them,
and the report to report.md. The exit status is 1 when one failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.report import Draw, Outcome, read_outcomes, write_outcomes, write_report
from benchmarks.results import RESULTS
from benchmarks.suite import SUITE, Benchmark

ROOT = Path(__file__).parents[1]
GRACE_S = 20.0
"""How long a benchmark that is ended may take to end the servers that it started."""

INTERRUPTED = 130
"""The exit status of a program that the user stopped, as shells give it."""

console = Console(highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit status."""
    options = parse(arguments)
    chosen = [one for one in SUITE if not options.only or one.name in options.only]
    if options.list:
        for benchmark in chosen:
            took = f"{benchmark.seconds} s, quick {benchmark.quick_seconds} s"
            line = f"{benchmark.name:<16} {benchmark.measures} (about {took})"
            console.print(line, soft_wrap=True)
        return 0
    folder = RESULTS / "quick" if options.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    status = 0
    if not options.report_only:
        try:
            status = run_all(chosen, folder, quick=options.quick)
        except KeyboardInterrupt:
            status = INTERRUPTED
    console.print(f"report: {write_report(folder, drawing())}", soft_wrap=True)
    return status


def drawing() -> Draw | None:
    """Return what draws plots, None where matplotlib is not installed."""
    try:
        from benchmarks.plots import draw
    except ImportError:
        console.print("No plots: matplotlib is not installed (make .venv/.bench).")
        return None
    return draw


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [benchmark.name for benchmark in SUITE]
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that all works")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="run only these")
    parser.add_argument("--list", action="store_true", help="show what there is and end")
    parser.add_argument("--report-only", action="store_true", help="write the report anew, no runs")
    return parser.parse_args(arguments)


def run_all(chosen: Sequence[Benchmark], folder: Path, *, quick: bool) -> int:
    """Run the benchmarks and keep what became of each; return the exit status."""
    expected = sum(one.quick_seconds if quick else one.seconds for one in chosen)
    told = f"{len(chosen)} benchmarks, about {expected / 60:.0f} min; results in {folder}"
    console.print(told, soft_wrap=True)
    status = 0
    for number, benchmark in enumerate(chosen, 1):
        console.rule(f"{number} of {len(chosen)}: {benchmark.name}", align="left")
        write_outcomes(folder, [Outcome(benchmark.name, "stopped before its end", failed=True)])
        outcome = run_one(benchmark, folder, quick=quick)
        write_outcomes(folder, [outcome])
        if outcome.problem:
            console.print(f"{benchmark.name}: {outcome.problem}", markup=False)
        status = status or int(outcome.failed)
    for outcome in read_outcomes(folder):
        if outcome.failed and outcome.name in {one.name for one in chosen}:
            console.print(f"FAILED {outcome.name}: {outcome.problem}", markup=False)
    return status


def run_one(benchmark: Benchmark, folder: Path, *, quick: bool) -> Outcome:
    """Run one benchmark to its end; print what it printed."""
    written = folder / f"{benchmark.name}.json"
    written.unlink(missing_ok=True)  # a result of an earlier run is none of this one
    command = benchmark.command(quick=quick)
    log = folder / f"{benchmark.name}.log"
    expected = benchmark.quick_seconds if quick else benchmark.seconds
    with log.open("w") as output:
        code = watched(
            subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            ),
            f"{benchmark.measures} (about {expected} s)",
            benchmark.limit_s(quick=quick),
        )
    said = log.read_text("utf-8", "replace").rstrip()
    print(said, flush=True)
    last = said.rpartition("\n")[2]
    if code is None:
        limit = benchmark.limit_s(quick=quick)
        return Outcome(benchmark.name, f"ended after {limit:.0f} s without a result", failed=True)
    if code:
        return Outcome(benchmark.name, f"exit status {code}: {last}", failed=True)
    return Outcome(benchmark.name, "" if written.exists() else f"nothing was measured: {last}")


def hear_interrupts() -> None:
    """Undo in a child what a shell does to the interrupts of its background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def watched(process: subprocess.Popen[bytes], what: str, limit_s: float) -> int | None:
    """Show how long the process has been running; return its status, None at the limit."""
    started = time.monotonic()
    console.print(what)
    try:
        with console.status("") as shown:
            while (spent_s := time.monotonic() - started) < limit_s:
                shown.update(f"{spent_s:.0f} s")
                try:
                    return process.wait(1)
                except subprocess.TimeoutExpired:
                    continue
        return None
    finally:
        end(process)
        console.print(f"took {time.monotonic() - started:.0f} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs: politely, so that it ends its own, then by force."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
