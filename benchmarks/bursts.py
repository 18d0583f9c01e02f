"""What many questions in the same instant cost those who are reading already.

Some answers run, 50 tokens a second each. Then as many sockets as a row says, open already, ask
at once. Measured are the lateness of the running answers' tokens in the half second before and in
the one after, and when the first text of the new answers came.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Refused, Result, refused, unless_busy
from benchmarks.streams.candidates import BARE, OURS_MADE, OURS_PASSED_ON, RATE_PER_S, Candidate
from benchmarks.streams.lateness import take_lateness
from benchmarks.streams.process import CannotStartError
from benchmarks.streams.reader import Reader
from benchmarks.streams.rig import Rig, be_the_reader, rig
from benchmarks.streams.stream import Progress, Stream, WebSocketStream, text_frame
from benchmarks.streams.telling import Stalls, tell
from benchmarks.tables import publish

ALL = (BARE[0], BARE[1], OURS_MADE[0], OURS_PASSED_ON[0])

OPEN_PER_S = 100
"""Sockets opened in a second: they are not what is measured."""

SETTLE_S = 2.0
LOOK_S = 0.5
"""Looked at before and after the burst."""

BEGIN_S = 20.0
"""By then all new answers have begun."""

STALL_GOAL_MS = 20.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One burst, in milliseconds; `stall_ms` is 0 for a server that does not tell."""

    before_ms: float
    worst_ms: float
    first_p50_ms: float
    first_p99_ms: float
    stall_ms: float
    reader_share: float


async def burst(started: Rig, running: int, number: int) -> Seen:
    """Run `running` answers, then ask `number` questions at once. Raises `CannotStartError`."""
    async with Reader() as reader:
        await started.warm(reader)
        progress = Progress(RATE_PER_S)
        streams = []
        for _ in range(running):
            streams.append(await started.connect(reader, progress))
            await asyncio.sleep(1 / OPEN_PER_S)
        waiting = [await _open(started, reader, progress) for _ in range(number)]
        await asyncio.sleep(SETTLE_S)
        stalls = Stalls(started.server.port)
        if started.candidate.is_manicule:
            stalls.look(0)
        before_ms = await _worst_ms(streams, LOOK_S)
        cpu_s, since = started.reader_cpu_s(), time.perf_counter()
        for stream, question in waiting:
            stream.ask(question)
        worst_ms = await _worst_ms(streams, LOOK_S)
        reader_share = (started.reader_cpu_s() - cpu_s) / (time.perf_counter() - since)
        async with asyncio.timeout(BEGIN_S):
            await asyncio.gather(*(stream.begun for stream, _ in waiting))
        if started.candidate.is_manicule:
            stalls.look(number)
        if progress.faults:
            raise CannotStartError("; ".join(progress.faults))
        firsts = sorted((stream.first_at - stream.asked_at) * 1000 for stream, _ in waiting)
        return Seen(
            before_ms,
            worst_ms,
            firsts[len(firsts) // 2],
            firsts[int(len(firsts) * 0.99)],
            stalls.worst_ms.get(number, 0.0),
            reader_share,
        )


async def _open(started: Rig, reader: Reader, progress: Progress) -> tuple[Stream, bytes]:
    """Open a socket that does not ask yet; return it with its question."""
    port = started.server.port
    stream = started.candidate.stream(progress, port, started.upstream_url, 0)
    assert isinstance(stream, WebSocketStream)
    question, stream.question = stream.question, b""
    await reader.add(stream, port)
    await asyncio.sleep(1 / OPEN_PER_S)
    return stream, text_frame(question)


async def _worst_ms(streams: Sequence[Stream], seconds: float) -> float:
    take_lateness(streams)
    await asyncio.sleep(seconds)
    seen = take_lateness(streams)
    return seen.most_ms if seen else float("inf")


def measure(candidate: Candidate, running: int, number: int) -> Seen | Refused:
    """Measure one burst on a server of its own."""
    try:
        with rig(candidate) as started:
            gc.collect()
            gc.disable()
            return asyncio.run(burst(started, running, number))
    except (CannotStartError, OSError, TimeoutError) as error:
        return refused(" ".join(str(error).split())[-300:] or type(error).__name__)
    finally:
        gc.enable()


def add_row(result: Result, candidate: Candidate, number: int, seen: list[Seen | Refused]) -> None:
    """Add the row of a candidate and a number of questions."""
    good = [one for one in seen if isinstance(one, Seen)]
    bad = [one for one in seen if isinstance(one, Refused)]
    if not good:
        result.add(candidate.name, group=_group(candidate, number), x=number, worst=bad[0])
        return
    share = max(one.reader_share for one in good)
    result.add(
        candidate.name,
        group=_group(candidate, number),
        x=number,
        baseline=candidate.baseline,
        before=[one.before_ms for one in good],
        worst=unless_busy([one.worst_ms for one in good], share),
        first_p50=unless_busy([one.first_p50_ms for one in good], share),
        first_p99=unless_busy([one.first_p99_ms for one in good], share),
        stall=[one.stall_ms for one in good] if candidate.is_manicule else None,
    )


def _group(candidate: Candidate, number: int) -> str:
    return f"{number} at once, {candidate.group}"


def new_result(running: int, *, quick: bool) -> Result:
    """Return the empty table."""
    return Result(
        "bursts",
        f"Many questions in the same instant, beside {running} running answers",
        "Do those who are reading notice that many others ask?",
        [
            Measure("before", "worst token before", "ms"),
            Measure("worst", "worst token after", "ms", ratio=True),
            Measure("first_p50", "first text p50", "ms"),
            Measure("first_p99", "first text p99", "ms"),
            Measure("stall", "loop stall under", "ms"),
        ],
        quick=quick,
    )


def main() -> None:
    """Measure all, in turns, and print."""
    arguments = Arguments("bursts", __doc__)
    arguments.size("--questions", [30, 100, 300], [30], "questions at once")
    arguments.size("--running", 100, 30, "answers that run meanwhile")
    arguments.size("--rounds", 3, 1, "times that each is measured, on a server of its own")
    options = arguments.parse_args()
    be_the_reader()
    result = new_result(options.running, quick=options.quick)
    rounds: dict[tuple[int, int], list[Seen | Refused]] = {}
    for _ in range(options.rounds):
        for index, candidate in enumerate(ALL):
            for number in options.questions:
                found = measure(candidate, options.running, number)
                tell(f"{candidate.group}: {candidate.name}, {number} at once: {found}")
                rounds.setdefault((index, number), []).append(found)
    for number in options.questions:
        for index, candidate in enumerate(ALL):
            add_row(result, candidate, number, rounds[index, number])
    for candidate in (OURS_MADE[0], OURS_PASSED_ON[0]):
        for number in options.questions:
            result.figure(
                f"loop stall with {number} questions at once, {candidate.group}",
                candidate.name,
                "stall",
                group=_group(candidate, number),
                x=number,
                at_most=STALL_GOAL_MS,
            )
    result.notes.append(
        "The bare senders look nothing up, so that a question costs them next to nothing. "
        "Lateness is that of the oldest token of a read; manicule sends every 40 ms what is there."
    )
    result.plots.append(Bars("worst", log=True))
    publish(result)


if __name__ == "__main__":
    main()
