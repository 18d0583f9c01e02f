"""What parsing markers costs per chunk of a streamed answer, against scanning the buffer again.

The alternative keeps the whole answer and runs a regular expression over all of it at each chunk,
as is done where no parser keeps state. Both are given the same answer in the same run, in turn,
and must find the same markers.

    python -m benchmarks.markers --help
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from protocol.markers import Marker, MarkerParser

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
    programs: Sequence[Callable[[Sequence[str]], list[str]]], chunks: Sequence[str], repeats: int
) -> list[list[float]]:
    """Return for each program its µs per chunk, one for each repeat; the programs take turns."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(repeats):
        for program, taken in zip(programs, times, strict=True):
            start = time.perf_counter()
            program(chunks)
            taken.append((time.perf_counter() - start) * 1e6 / len(chunks))
    return times


def show(times: Sequence[float]) -> str:
    """Return the median with the least and the most."""
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.markers",
        description="Marker parsing: µs per chunk, against scanning the whole buffer again.",
    )
    options.add_argument("--chars", type=int, default=4_000, help="length of the answer (4000)")
    options.add_argument("--repeats", type=int, default=31, help="answers per row (31)")
    arguments = options.parse_args()
    if arguments.chars < 1 or arguments.repeats < 1:
        options.error("--chars and --repeats must be at least 1")
    table = Table(
        title=f"Marker parsing, answers of {arguments.chars} characters, "
        f"{arguments.repeats} repeats, Python {platform.python_version()}",
        caption="µs per chunk: median (least to most). Ratio: of the medians.",
    )
    for heading in ("chunk", "markers", "parser", "scanning again", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for with_markers in (False, True):
        answer = write_answer(arguments.chars, with_markers=with_markers)
        for size in CHUNK_CHARS:
            chunks = [answer[at : at + size] for at in range(0, len(answer), size)]
            found = parse(chunks)
            assert found == rescan(chunks), "the two parsers found different markers"
            own, other = measure((parse, rescan), chunks, arguments.repeats)
            ratio = statistics.median(other) / statistics.median(own)
            cells = (f"{size} chars", str(len(found)), show(own), show(other), f"{ratio:.0f}x")
            table.add_row(*cells)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
