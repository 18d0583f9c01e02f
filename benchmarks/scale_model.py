"""What a thousand nodes need, computed from what `scale_out` measured on a few.

Every cost is a line through answers of two lengths: so much for an answer, so much for a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import RESULTS, Cell, Result, read

DOC = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- model: begin -->", "<!-- model: end -->"
LONG, SHORT = 200, 50
"""Words of an answer: two lengths tell what a word costs from what an answer costs."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the fleet is asked to do. 300 at once is where the autoscaler adds a pod."""

    nodes: int = 1000
    at_once: int = 300
    words: int = 200
    words_per_s: int = 50

    @property
    def answer_s(self) -> float:
        """How long an answer takes."""
        return self.words / self.words_per_s

    @property
    def answers_per_s(self) -> float:
        """Of one node."""
        return self.at_once / self.answer_s


@dataclass(frozen=True, slots=True)
class Line:
    """The cost of an answer: a share for itself and one for each word."""

    fixed: float
    per_word: float

    def of(self, words: float) -> float:
        """Return the cost of one answer."""
        return self.fixed + self.per_word * words


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing that can be full. `budget` is what one instance has of it each second."""

    part: str
    what: str
    cost: float
    """Of it that one answer takes."""
    budget: float
    remedy: str

    @property
    def answers_per_s(self) -> float:
        """What one instance can take."""
        return self.budget / self.cost


FULL = 0.8
"""Share of a core at which a service that has one thread counts as full: queues grow after it."""

MORE_MEMORY = "more memory, a shorter `MANICULE_RESUME_S`, Redis Cluster"

CONSTANTS = (
    "node, ms an answer",
    "log, ms an answer",
    "log, commands an answer",
    "log keeps, KiB an answer",
    "cache, ms an answer",
    "cache, commands an answer",
    "frames an answer",
    "balancer, µs a frame",
    "store, ms an answer",
    "store, transactions an answer",
)

MAX_CLIENTS = "Redis takes 10,000 unless `maxclients` says otherwise"
POSTGRES = "PostgreSQL takes 100 unless `max_connections` says otherwise"

QUICKLY = ", in small sizes and short rounds: measure anew before you rely on it"
KEEP_S = 600
LOG_BYTES = 1536 * 2**20
"""`maxmemory` of the log in kubernetes/redis/log.conf."""


def dense(words: int) -> str:
    """Return the group of rows that the model is made of: one node at a load of use."""
    return f"{words} words, dense"


def line(result: Result, label: str) -> Line:
    """Return the line of a cost through both lengths on one node."""
    short, long = (_median(result, label, words) for words in (SHORT, LONG))
    per_word = (long - short) / (LONG - SHORT)
    return Line(short - per_word * SHORT, per_word)


def _median(result: Result, label: str, words: int) -> float:
    row = result.find(label, dense(words), 1)
    spread = row.cells.get("cost", Cell()).spread if row is not None else None
    if spread is None:
        raise SystemExit(f"the last result has no {label!r}: run `make bench-scale-out` first")
    return spread.median


def limits(result: Result, load: Load) -> list[Limit]:
    """Return everything that can be full, what saturates first at the top."""

    def cost(label: str) -> float:
        return max(line(result, label).of(load.words), 1e-9)

    def core_s(part: str) -> float:
        return cost(f"{part}, ms an answer") / 1e3

    frames_s = cost("frames an answer") * cost("balancer, µs a frame") / 1e6
    kept = cost("log keeps, KiB an answer") * 1024
    found = [
        Limit("node", "its core", core_s("node"), FULL, "more nodes"),
        Limit("log", f"{LOG_BYTES / 2**30:g} GiB", kept, LOG_BYTES / KEEP_S, MORE_MEMORY),
        Limit("log", "its thread", core_s("log"), FULL, "Redis Cluster"),
        Limit("cache", "its thread", core_s("cache"), FULL, "Redis Cluster"),
        Limit("balancer", "one thread", frames_s, FULL, "more threads, then more balancers"),
        Limit("store", "one core", core_s("store"), FULL, "more cores"),
    ]
    return sorted(found, key=lambda one: one.answers_per_s)


def constants(result: Result) -> list[list[str]]:
    """Return the measured constants as cells."""
    rows = [["", f"answer of {SHORT} words", f"of {LONG} words", "each word more"]]
    for label in CONSTANTS:
        cost = line(result, label)
        values = (cost.of(SHORT), cost.of(LONG), cost.per_word)
        rows.append([label, *map(_number, values)])
    return rows


def table(result: Result, load: Load) -> list[list[str]]:
    """Return the limits as cells, for people."""
    whole = load.answers_per_s * load.nodes
    rows = [["full first", "one holds, answers/s", "at once", f"nodes of {load.at_once}",
             f"for {load.nodes:,} nodes", "then"]]  # fmt: skip
    for one in limits(result, load):
        rate = one.answers_per_s
        rows.append(
            [
                f"{one.part}: {one.what}",
                _number(rate),
                _number(rate * load.answer_s),
                _number(rate / load.answers_per_s),
                f"{_number(whole / rate)} of them",
                one.remedy,
            ]
        )
    return rows


def idle_lines(result: Result, load: Load) -> Iterable[str]:
    """Yield what nodes cost the services while nobody asks."""
    for service in ("log", "cache", "store"):
        what = "transactions" if service == "store" else "commands"
        each = _median(result, f"idle node to {service}, {what} a second", LONG)
        yield (
            f"* An idle node sends {_number(each)} {what} a second to the {service}: "
            f"{_number(each * load.nodes)} from {load.nodes:,} nodes."
        )


def connection_lines(result: Result, load: Load) -> Iterable[str]:
    """Yield how many connections the services must take."""
    for service, default in (("log", MAX_CLIENTS), ("cache", MAX_CLIENTS), ("store", POSTGRES)):
        each = _median(result, f"connections of a node to the {service}", LONG)
        yield (
            f"* A busy node has {_number(each)} connections to the {service}: "
            f"{_number(each * load.nodes)} from {load.nodes:,} nodes ({default})."
        )


def markdown(result: Result, load: Load) -> str:
    """Return the model's part of docs/scaling.md."""
    seen = result.conditions
    return "\n".join(
        [
            f"Measured {seen.date[:10]} at {seen.commit or 'an unknown commit'} on {seen.cores} "
            f"cores ({seen.cpu}), {seen.python}, load {seen.load} before it began"
            f"{QUICKLY if result.quick else ''}. Costs of one answer, with its judgement:",
            "",
            *_lines(constants(result)),
            "",
            f"From these, for answers of {load.words} words at {load.words_per_s} words/s and "
            f"{load.at_once} at once on a node, {_number(load.answers_per_s)} answers/s:",
            "",
            *_lines(table(result, load)),
            "",
            *idle_lines(result, load),
            *connection_lines(result, load),
        ]
    )


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rest)]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def last_result(*, quick: bool) -> Result:
    """Return what `scale_out` wrote last."""
    path = (RESULTS / "quick" if quick else RESULTS) / "scale_out.json"
    if not path.exists():
        raise SystemExit(f"there is no {path}: run `make bench-scale-out` first")
    return read(path)


def print_model(*, quick: bool) -> None:
    """Print the model."""
    print(markdown(last_result(quick=quick), Load()))


def write_model(*, quick: bool, doc: Path = DOC) -> None:
    """Put the model between its marks in docs/scaling.md."""
    before, _, rest = doc.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    text = markdown(last_result(quick=quick), Load())
    doc.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
