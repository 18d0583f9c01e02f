"""How many answers one core streams at once, 50 tokens a second each.

A server runs on one core; on another one a reader opens streams, more and more, until 99 of 100
tokens come less than 50 ms, then 100 ms late no longer. Some servers make the tokens themselves
(manicule from a script, bare senders in a loop), the others pass on what a model's server sends
over HTTP; that one shares the reader's core. Peers are installed by `make bench-peers-install`;
one that is not there is a row that says so.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Refused, Result, refused
from benchmarks.streams.candidates import (
    BARE,
    MADE,
    OURS_MADE,
    OURS_PASSED_ON,
    PASSED_ON,
    PROXIES,
    RATE_PER_S,
    Candidate,
    installed,
)
from benchmarks.streams.process import CannotStartError, core_busy_s
from benchmarks.streams.ramp import (
    LIMITS_MS,
    MAX_CORE_SHARE,
    MAX_OTHERS_SHARE,
    OTHERS_HELP,
    Pace,
    Ramp,
    Step,
    first_failure,
    largest,
)
from benchmarks.streams.reader import Reader
from benchmarks.streams.rig import READER_CORE, SERVER_CORE, Rig, be_the_reader, rig
from benchmarks.streams.telling import Stalls, tell
from benchmarks.tables import publish

NAP_S = 0.001
"""How seldom the reader looks: lateness is told to a millisecond or two."""

ALL = (*BARE, *OURS_MADE, *PROXIES, *OURS_PASSED_ON)


async def climb(started: Rig, pace: Pace) -> tuple[list[Step], dict[int, float]]:
    """Warm the server up and load it; return the steps, and its stalls by number of streams."""
    async with Reader(NAP_S) as reader:
        await started.warm(reader)
        return await _climb(started, reader, pace)


async def _climb(started: Rig, reader: Reader, pace: Pace) -> tuple[list[Step], dict[int, float]]:
    stalls = Stalls(started.server.port) if started.candidate.is_manicule else None

    def show(step: Step) -> None:
        tell(
            f"  {step.streams:5} streams: p50 {step.p50_ms:7.1f} p99 {step.p99_ms:7.1f} ms, "
            f"{step.whole:.1%} came, server {step.server_share:.0%}, "
            f"others {step.others_share:.0%}, "
            f"reader {step.reader_share:.0%}, {step.token_us:.1f} us a token {step.faults or ''}"
        )
        if stalls:
            stalls.look(step.streams)

    ramp = Ramp(
        connect=lambda progress: started.connect(reader, progress),
        server_cpu_s=started.server.cpu_s,
        reader_cpu_s=started.reader_cpu_s,
        cores_cpu_s=lambda: core_busy_s(SERVER_CORE) + core_busy_s(READER_CORE),
        rate_per_s=RATE_PER_S,
        pace=pace,
        first=started.candidate.first,
        spins=started.candidate.spins,
        on_step=show,
    )
    if stalls:
        stalls.look(0)
    return await ramp.run(), stalls.worst_ms if stalls else {}


def measure(candidate: Candidate, pace: Pace) -> dict[str, float | Refused] | Refused:
    """Run one candidate once; return its values, or why there are none."""
    if candidate.missing:
        return refused(candidate.missing)
    try:
        with rig(candidate) as started:
            gc.collect()
            gc.disable()
            steps, stalls = asyncio.run(climb(started, pace))
    except (CannotStartError, OSError) as error:
        return refused(" ".join(str(error).split())[-300:] or type(error).__name__)
    finally:
        gc.enable()
    return values(candidate, steps, stalls)


def values(
    candidate: Candidate, steps: list[Step], stalls: dict[int, float]
) -> dict[str, float | Refused]:
    """Return what the table shows of a climb."""
    result: dict[str, float | Refused] = {}
    for key, limit_ms in zip(("within_50", "within_100"), LIMITS_MS, strict=True):
        result[key] = _most(steps, limit_ms)
    at = largest(steps, LIMITS_MS[0])
    if at is not None:
        result["p50"] = at.p50_ms
        result["reader"] = at.reader_share * 100
        if not candidate.spins:
            result["token_us"] = at.token_us
        if stalls:
            result["stall"] = max(ms for streams, ms in stalls.items() if 0 < streams <= at.streams)
    return result


def _most(steps: list[Step], limit_ms: float) -> float | Refused:
    """Return the largest number that held, or why that is not known."""
    best, failed = largest(steps, limit_ms), first_failure(steps, limit_ms)
    looks = [step for step in steps if step.streams == failed]
    if not all(step.is_valid for step in steps if failed is None or step.streams <= failed):
        held = f"{best.streams} held, then " if best else ""
        return refused(f"{held}the reader's core was over {MAX_CORE_SHARE:.0%} busy")
    if looks and all(step.is_disturbed for step in looks):
        return refused(f"others took {looks[-1].others_share:.0%} of the two cores")
    if best is None:
        return refused(f"not even {steps[0].streams}: {_why(looks[-1])}")
    return float(best.streams)


def _why(step: Step) -> str:
    faults = ", ".join(f"{number} {what}" for what, number in step.faults.items())
    return faults or f"p99 {step.p99_ms:.0f} ms, {step.whole:.0%} of the tokens came"


def new_result(*, quick: bool) -> Result:
    """Return the empty table."""
    return Result(
        "streaming",
        "Answers of 50 tokens/s that one core streams at once",
        "How many readers can one core serve before they see the text stutter?",
        [
            Measure("within_50", "streams, p99 < 50 ms", ratio=True, better="more"),
            Measure("within_100", "streams, p99 < 100 ms", ratio=True, better="more"),
            Measure("token_us", "server CPU a token", "µs"),
            Measure("p50", "lateness p50", "ms"),
            Measure("stall", "loop stall under", "ms"),
            Measure("reader", "reader's core", "%"),
        ],
        quick=quick,
    )


def add_row(
    result: Result, candidate: Candidate, rounds: Sequence[dict[str, float | Refused] | Refused]
) -> None:
    """Add a candidate's row; a value that all rounds refused says why."""
    cells: dict[str, list[float] | Refused] = {}
    for measure_ in result.measures:
        found = [one if isinstance(one, Refused) else one.get(measure_.key) for one in rounds]
        numbers = [one for one in found if isinstance(one, float | int)]
        reasons = [one for one in found if isinstance(one, Refused)]
        if numbers:
            cells[measure_.key] = numbers
        elif reasons:
            cells[measure_.key] = reasons[0]
    result.add(
        candidate.name,
        group=candidate.group,
        baseline=candidate.baseline,
        note=candidate.note,
        **cells,
    )


def add_figures(result: Result) -> None:
    """Say which of the rows are goals."""
    ours, frames = OURS_MADE[0].name, OURS_MADE[1].name
    bare, proxy = BARE[0].name, PROXIES[0].name
    result.plots += [Bars("within_50", log=True), Bars("within_100", log=True), Bars("token_us")]
    for label, group, key, least in (
        (ours, MADE, "within_50", 2),
        (ours, MADE, "within_100", 3),
        (frames, MADE, "within_50", None),
        (ours, PASSED_ON, "within_50", 15),
        (ours, PASSED_ON, "within_100", 15),
    ):
        against = bare if group == MADE else proxy
        text = f"{label} against {against}, {key.removeprefix('within_')} ms"
        result.figure(text, label, key, group=group, ratio=True, at_least=least)
    result.notes += [
        "A token is as late as the oldest token of the read that it came in. Server CPU, lateness "
        "p50, stall and the reader's core are those at the largest number under 50 ms.",
        "The reader's core includes the upstream where there is one.",
        installed(),
    ]


def main() -> None:
    """Measure all, in turns, and print."""
    arguments = Arguments("streaming", __doc__)
    arguments.size("--rounds", 2, 1, "times that each server is measured, in turns")
    arguments.size("--growth", 0.1, 0.2, "how much more at each step")
    arguments.size("--window", 2.0, 1.5, "seconds looked at in a step")
    arguments.size("--settle", 0.7, 0.5, "seconds left out before that")
    arguments.size("--others", MAX_OTHERS_SHARE, MAX_OTHERS_SHARE, OTHERS_HELP)
    arguments.add_argument("--only", nargs="+", default=[], help="parts of names to measure")
    options = arguments.parse_args()
    be_the_reader()
    pace = Pace(options.settle, options.window, options.growth, options.others)
    result = new_result(quick=options.quick)
    chosen = [
        one
        for one in ALL
        if not options.only or any(part in f"{one.group}: {one.name}" for part in options.only)
    ]
    rounds: dict[int, list[dict[str, float | Refused] | Refused]] = {}
    for number in range(options.rounds):
        for index, candidate in enumerate(chosen):
            tell(f"round {number + 1}: {candidate.group}: {candidate.name}")
            found = measure(candidate, pace)
            tell(f"  {found}")
            rounds.setdefault(index, []).append(found)
    for index, candidate in enumerate(chosen):
        add_row(result, candidate, rounds[index])
    add_figures(result)
    publish(result)


if __name__ == "__main__":
    main()
