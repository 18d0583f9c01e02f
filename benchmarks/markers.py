"""What parsing markers costs per chunk of a streamed answer, against scanning the buffer again.

The alternative keeps the whole answer and runs a regular expression over all of it at each chunk,
as is done where no parser keeps state. Both are given the same answer in the same run, in turn,
and must find the same markers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Result
from benchmarks.tables import publish
from protocol.markers import Marker, MarkerParser

OURS, OTHER = "parser", "scanning again"
CHUNK_CHARS = (4, 16, 64)
SENTENCES = (
    "Switch the appliance off and pull the plug before you open the lid. ",
    "The light on the front blinks twice while the filter is being rinsed; wait until it stops. ",
    "Hold the button for three seconds to start again.\n",
)
MARKERS = (
    '[MANUAL: p.12 "Switch off the appliance"] ',
    "[PRO TIP: Rinse the filter [both sides] once a month.] ",
    "[WARNING: Never open the lid while the motor runs.] ",
)


class RescanningParser:
    """The alternative: all text is kept, and each chunk has all of it scanned again."""

    _MARKER = re.compile(
        r"\[(MANUAL|SUGGESTION|PRO[ _-]TIP|WARNING|FOLLOW[ _-]UP|EDIT):"
        r"((?:[^\[\]]|\[[^\[\]]*\])*)\]",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        self._buffer = ""
        self._seen = 0

    def feed(self, chunk: str) -> list[str]:
        """Return the bodies of the markers that `chunk` completed."""
        self._buffer += chunk
        bodies = [match[2].strip() for match in self._MARKER.finditer(self._buffer)]
        new, self._seen = bodies[self._seen :], len(bodies)
        return new


def write_answer(chars: int, *, with_markers: bool) -> str:
    """Return an answer of `chars` characters; with markers, one after every two sentences."""
    parts: list[str] = []
    for number in range(chars):
        parts.append(SENTENCES[number % len(SENTENCES)])
        if with_markers and number % 2:
            parts.append(MARKERS[number // 2 % len(MARKERS)])
        if sum(map(len, parts)) >= chars:
            break
    return "".join(parts)[:chars]


def parse(chunks: Sequence[str]) -> list[str]:
    """Return the bodies that the parser under test finds."""
    parser = MarkerParser()
    return [p.body for chunk in chunks for p in parser.feed(chunk) if isinstance(p, Marker)]


def rescan(chunks: Sequence[str]) -> list[str]:
    """Return the bodies that the alternative finds."""
    parser = RescanningParser()
    return [body for chunk in chunks for body in parser.feed(chunk)]


def measure(
    programs: Sequence[Callable[[Sequence[str]], list[str]]], chunks: Sequence[str], rounds: int
) -> list[list[float]]:
    """Return for each program its µs per chunk, one for each round; the programs take turns."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, taken in zip(programs, times, strict=True):
            start = time.perf_counter()
            program(chunks)
            taken.append((time.perf_counter() - start) * 1e6 / len(chunks))
    return times


def main() -> None:
    arguments = Arguments("markers", __doc__)
    arguments.size("--chars", 4_000, 2_000, "length of the answer")
    arguments.size("--rounds", 31, 5, "answers per row")
    options = arguments.parse_args()
    if options.chars < 1 or options.rounds < 1:
        arguments.error("--chars and --rounds must be at least 1")
    result = Result(
        "markers",
        f"Marker parsing, answers of {options.chars:,} characters",
        "What does a chunk of a streamed answer cost, against scanning all of it again?",
        [Measure("us", "time", "µs a chunk", ratio=True), Measure("found", "markers")],
        quick=options.quick,
        notes=["Both are given the same answer in turn, and must find the same markers."],
    )
    for with_markers in (False, True):
        answer = write_answer(options.chars, with_markers=with_markers)
        for size in CHUNK_CHARS:
            chunks = [answer[at : at + size] for at in range(0, len(answer), size)]
            found = parse(chunks)
            assert found == rescan(chunks), "the two parsers found different markers"
            own, other = measure((parse, rescan), chunks, options.rounds)
            group = f"{size} characters{', with markers' if with_markers else ''}"
            result.add(OTHER, group=group, baseline=True, us=other, found=len(found))
            result.add(OURS, group=group, us=own, found=len(found))
    shown = f"{CHUNK_CHARS[0]} characters, with markers"
    result.figure(f"parsing chunks of {shown}", OURS, "us", group=shown, ratio=True)
    result.plots.append(Bars("us", log=True))
    publish(result)


if __name__ == "__main__":
    main()
