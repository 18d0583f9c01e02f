"""How much later an answer comes through a server than straight from the model's server.

The same reader asks the model's server itself and then each server before it, at the same number
of answers at once, begun evenly over the length of an answer. Questions differ, so that no answer
comes from a cache; manuals are prepared and connections open, for each connection's first answer
is left out. Added is the difference of percentiles in the same round.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import dataclass, field

from benchmarks.arguments import Arguments
from benchmarks.harness import percentile
from benchmarks.results import Lines, Measure, Refused, Result, refused, unless_busy
from benchmarks.streams.candidates import (
    DIRECT,
    OURS_PASSED_ON,
    PROXIES,
    RATE_PER_S,
    Candidate,
    installed,
)
from benchmarks.streams.process import CannotStartError, Serving, core_busy_s
from benchmarks.streams.ramp import MAX_OTHERS_SHARE, OTHERS_HELP
from benchmarks.streams.reader import Reader
from benchmarks.streams.rig import READER_CORE, SERVER_CORE, Rig, be_the_reader, rig, upstream
from benchmarks.streams.stream import Progress, Stream
from benchmarks.tables import publish

WORDS = {1: 10, 10: 50}
"""Length of an answer by how many run at once: few at a time must not take all day."""

MOST_WORDS = 200

NAP_FROM = 500
"""From so many on the reader looks each millisecond only, also at the model's server itself."""

PATIENCE = 3.0
"""A run that takes so many times as long as the answers last has not kept up."""

TRIES = 3
"""Looks at one level, when others on the machine disturb it."""

SHARES = (("p50", 0.5), ("p99", 0.99))
Values = dict[str, float | Refused]


@dataclass(frozen=True, slots=True)
class Plan:
    """Answers at once, on each connection, and what part of a core others may use."""

    levels: list[int]
    answers: int
    others: float


@dataclass(slots=True)
class Times:
    """Milliseconds of each answer, how busy we kept the reader's core, and others both cores."""

    first_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    reader_share: float = 0.0
    others_share: float = 0.0

    def at(self, key: str, share: float) -> float:
        """Return a percentile of `first` or `total`."""
        return percentile(self.first_ms if key == "first" else self.total_ms, share)


class BehindError(Exception):
    """A server did not keep up, or failed; the message says how."""


async def ask_all(started: Rig, streams: int, rounds: int) -> Times:
    """Ask `rounds` times on each of `streams` connections. Raises `BehindError`."""
    words = WORDS.get(streams, MOST_WORDS)
    length_s = words / RATE_PER_S
    times, progress = Times(), Progress(RATE_PER_S)
    begun_at, before = time.perf_counter(), _spent(started)

    async def work(reader: Reader, index: int) -> None:
        await asyncio.sleep(max(0.0, begun_at + length_s * index / streams - time.perf_counter()))
        stream = await started.connect(reader, progress, words=words)
        await _whole(stream, words)
        for _ in range(rounds):
            stream.ask(started.request(words))
            await _whole(stream, words)
            times.first_ms.append((stream.first_at - stream.asked_at) * 1000)
            times.total_ms.append((stream.ended_at - stream.asked_at) * 1000)

    async with Reader(0.001 if streams >= NAP_FROM else 0.0) as reader:
        try:
            async with asyncio.timeout(PATIENCE * length_s * (rounds + 2) + 5):
                begun_at, before = time.perf_counter(), _spent(started)
                async with asyncio.TaskGroup() as group:
                    for index in range(streams):
                        group.create_task(work(reader, index))
        except TimeoutError:
            raise BehindError(f"{streams} answers at once were not kept up with") from None
        except ExceptionGroup as group_:
            raise BehindError(str(group_.exceptions[0])) from None
    took_s = time.perf_counter() - begun_at
    reader, server, cores = (
        (now - then) / took_s for now, then in zip(_spent(started), before, strict=True)
    )
    times.reader_share, times.others_share = reader, max(0.0, cores - reader - server)
    return times


def _spent(started: Rig) -> tuple[float, float, float]:
    """Return what was computed so far: reader and upstream, the server, both cores in all."""
    server = 0.0 if started.candidate is DIRECT else started.server.cpu_s()
    both = core_busy_s(SERVER_CORE) + core_busy_s(READER_CORE)
    return started.reader_cpu_s(), server, both


async def _whole(stream: Stream, words: int) -> None:
    """Wait for the end of an answer. Raises `BehindError` when it is not whole."""
    await stream.ended
    if stream.progress.faults:
        raise BehindError("; ".join(stream.progress.faults))
    if stream.tokens < words:
        raise BehindError(f"an answer of {words} tokens ended after {stream.tokens}")


async def _undisturbed(started: Rig, streams: int, plan: Plan) -> Times | Refused:
    """Ask until others leave the cores to us, a few times at most."""
    for _ in range(TRIES):
        # Few answers at once say little each: there are more of them.
        times = await ask_all(started, streams, max(plan.answers, 60 // streams))
        if times.others_share <= plan.others:
            return times
    return refused(f"others took {times.others_share:.0%} of a core")


async def climb(started: Rig, plan: Plan) -> dict[int, Times | Refused]:
    """Ask at each number at once until one is not kept up with."""
    found: dict[int, Times | Refused] = {}
    async with Reader() as reader:
        await started.warm(reader)
    for streams in plan.levels:
        try:
            found[streams] = await _undisturbed(started, streams, plan)
        except BehindError as error:
            for more in plan.levels[plan.levels.index(streams) :]:
                found[more] = refused(str(error))
            break
    return found


def measure(candidate: Candidate, source: Serving, plan: Plan) -> dict[int, Times | Refused]:
    """Measure one candidate at all levels."""
    if candidate.missing:
        return dict.fromkeys(plan.levels, refused(candidate.missing))
    gc.collect()
    gc.disable()
    try:
        if candidate is DIRECT:
            return asyncio.run(climb(Rig(candidate, source, source), plan))
        with rig(candidate, source) as started:
            return asyncio.run(climb(started, plan))
    except (CannotStartError, OSError) as error:
        return dict.fromkeys(plan.levels, refused(" ".join(str(error).split())[-300:]))
    finally:
        gc.enable()


def values(times: Times | Refused, direct: Times | Refused) -> Values:
    """Return what one round adds to a row."""
    if isinstance(times, Refused):
        return {"first_p50": times}
    result: Values = {"reader": times.reader_share * 100}
    busiest = times.reader_share
    for name, share in SHARES:
        result[f"first_{name}"] = times.at("first", share)
    if not isinstance(direct, Refused):
        busiest = max(busiest, direct.reader_share)
        for key in ("first", "total"):
            for name, share in SHARES:
                added = times.at(key, share) - direct.at(key, share)
                result[f"{key}_{name}_added"] = added
    judged = {key: unless_busy(one, busiest) for key, one in result.items() if key != "reader"}
    return {"reader": result["reader"], **judged}  # type: ignore[dict-item]


def new_result(*, quick: bool) -> Result:
    """Return the empty table."""
    return Result(
        "added_latency",
        "Later than straight from the model's server, at 50 tokens/s",
        "What does a server between reader and model cost the reader, in time?",
        [
            Measure("first_p50", "first token p50", "ms"),
            Measure("first_p99", "first token p99", "ms"),
            Measure("first_p50_added", "added p50", "ms"),
            Measure("first_p99_added", "added p99", "ms"),
            Measure("total_p50_added", "total added p50", "ms"),
            Measure("total_p99_added", "total added p99", "ms"),
            Measure("reader", "reader's core", "%"),
        ],
        x="at once",
        quick=quick,
    )


def add_rows(
    result: Result,
    chosen: list[Candidate],
    levels: list[int],
    rounds: list[dict[str, dict[int, Times | Refused]]],
) -> None:
    """Add a row for each candidate and level, of what all rounds found."""
    for streams in levels:
        for candidate in chosen:
            cells: dict[str, list[float] | Refused] = {}
            for found in rounds:
                direct = found[DIRECT.name][streams]
                against = refused("") if candidate is DIRECT else direct
                for key, one in values(found[candidate.name][streams], against).items():
                    if isinstance(one, Refused):
                        cells.setdefault(key, one)
                    else:
                        known = cells.get(key)
                        cells[key] = [*(known if isinstance(known, list) else []), one]
            result.add(
                candidate.name,
                x=streams,
                baseline=candidate.baseline and candidate is DIRECT,
                note=candidate.note,
                **cells,
            )


def main() -> None:
    """Measure and print."""
    arguments = Arguments("added_latency", __doc__)
    arguments.size("--streams", [1, 10, 50, 200, 500, 1000], [1, 10, 200], "answers at once")
    arguments.size("--answers", 2, 1, "answers on each connection, after the first one")
    arguments.size("--rounds", 2, 1, "times that each server is measured, in turns")
    arguments.size("--others", MAX_OTHERS_SHARE, MAX_OTHERS_SHARE, OTHERS_HELP)
    arguments.add_argument("--only", nargs="+", default=[], help="parts of names to measure")
    options = arguments.parse_args()
    plan = Plan(options.streams, options.answers, options.others)
    be_the_reader()
    result = new_result(quick=options.quick)
    others = [
        one
        for one in (*OURS_PASSED_ON, *PROXIES)
        if not options.only or any(part in one.name for part in options.only)
    ]
    rounds = []
    for number in range(options.rounds):
        with upstream(even=False) as source:
            found = {}
            for candidate in (DIRECT, *others):
                print(f"round {number + 1}: {candidate.name}", file=sys.stderr, flush=True)
                found[candidate.name] = measure(candidate, source, plan)
        rounds.append(found)
    add_rows(result, [DIRECT, *others], options.streams, rounds)
    ours = OURS_PASSED_ON[0].name
    result.plots += [Lines("first_p50_added", log_x=True), Lines("first_p99_added", log_x=True)]
    if 200 in options.streams:
        for key, most in (("first_p50_added", 2.0), ("first_p99_added", 8.0)):
            text = f"{ours}: first token later, 200 at once, {key[6:9]}"
            result.figure(text, ours, key, x=200, at_most=most)
    result.notes += [
        "Added is over the model's server itself, read by the same reader.",
        installed(),
    ]
    publish(result)


if __name__ == "__main__":
    main()
