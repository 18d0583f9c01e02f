"""How often a manual is found prepared, of 1,000 manuals in a cache that holds some of them.

The server's own shelf of prepared manuals and its cache of texts, against a plain LRU and against
policies that know the future, on the very same asks. Asks follow Zipf's law: singly with three
exponents, with popularity that drifts, with crawlers that sweep over all manuals, and in
conversations, where who asked asks again. Sizes differ; the cache holds 2 to 20 % of all bytes.

"Ideal" is Belady's rule for manuals of unequal size: what leaves is the one with the longest time
to its next ask, times its size. For equal sizes no policy does better; for unequal ones "bound" is
above every policy (PFOO-L: the cheapest intervals between two asks, as if space could be split).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.arguments import Arguments
from benchmarks.requests import (
    Zipf,
    conversations,
    next_asks,
    prepared_sizes,
    single_asks,
    swept_asks,
)
from benchmarks.results import Lines, Measure, Result
from benchmarks.tables import publish
from server.manuals.documents import ManualText
from server.manuals.prepared import Prepared
from server.manuals.shelf import Shelf
from server.storage.texts import MemoryTextCache, Miss, StoredText

MANUALS = 1000
LRU, OURS, TEXTS, IDEAL, BOUND = "plain LRU", "our shelf", "our text cache", "ideal", "bound"
TEXT_BYTES = 1 / 500
"""What the texts weigh here of what the prepared manuals do, so that they fit into memory."""

Workload = Callable[[random.Random], list[int]]


def workloads(asks: int) -> dict[str, Workload]:
    """Return the sequences by name; each is of so many asks."""

    def zipf(exponent: float, dice: random.Random) -> Zipf:
        return Zipf(MANUALS, exponent, dice)

    def single(exponent: float, drift: int = 0) -> Workload:
        return lambda dice: list(islice(single_asks(zipf(exponent, dice), drift), asks))

    return {
        "Zipf 0.7": single(0.7),
        "Zipf 0.9": single(0.9),
        "Zipf 1.1": single(1.1),
        "Zipf 0.9, drifting": single(0.9, 100),
        "Zipf 0.9, swept": lambda dice: list(
            islice(swept_asks(zipf(0.9, dice), MANUALS, 5000), asks)
        ),
        "Zipf 0.9, conversations": lambda dice: list(
            islice(conversations(zipf(0.9, dice), dice), asks)
        ),
    }


@dataclass(frozen=True)
class Index:
    """What the shelf asks of an index."""

    size_bytes: int


def prepared(manual: int, size: int) -> Prepared:
    """Return a manual that weighs `size` bytes."""
    text = ManualText(str(manual), "", "", "", 0.0)
    bare = Prepared(text, (), Index(0)).size_bytes  # type: ignore[arg-type]
    return Prepared(text, (), Index(size - bare))  # type: ignore[arg-type]


def shelf_hits(asks: Sequence[int], sizes: Sequence[int], room: int) -> list[bool]:
    """Return which asks the server's shelf answers."""
    shelf = Shelf(room)
    manuals = [prepared(manual, size) for manual, size in enumerate(sizes)]
    hits = []
    for manual in asks:
        hits.append(shelf.get(str(manual)) is not None)
        if not hits[-1]:
            shelf.put(manuals[manual], "")
    return hits


def text_hits(asks: Sequence[int], sizes: Sequence[int], room: int) -> list[bool]:
    """Return which asks the server's in-process cache of texts answers, with sizes scaled down."""

    async def run() -> list[bool]:
        cache = MemoryTextCache(int(room * TEXT_BYTES), lambda: 0.0)
        hits = []
        for manual in asks:
            hits.append(not isinstance(await cache.get(str(manual)), Miss))
            if not hits[-1]:
                text = "x" * max(0, int(sizes[manual] * TEXT_BYTES - 1024) // 2)
                await cache.put(StoredText(str(manual), text, "", "", 0.0), ttl_s=1e9)
        return hits

    return asyncio.run(run())


def lru_hits(asks: Sequence[int], sizes: Sequence[int], room: int) -> list[bool]:
    """Return which asks a plain LRU answers."""
    held: OrderedDict[int, None] = OrderedDict()
    taken, hits = 0, []
    for manual in asks:
        hits.append(manual in held)
        taken += 0 if hits[-1] else sizes[manual]
        held[manual] = None
        held.move_to_end(manual)
        while taken > room:
            taken -= sizes[held.popitem(last=False)[0]]
    return hits


def ideal_hits(asks: Sequence[int], sizes: Sequence[int], room: int) -> list[bool]:
    """Return which asks are answered by who knows the future."""
    held: dict[int, float] = {}
    taken, hits = 0, []
    for at, (manual, coming) in enumerate(zip(asks, next_asks(asks), strict=True)):
        hits.append(manual in held)
        taken += 0 if hits[-1] else sizes[manual]
        held[manual] = coming
        while taken > room:
            leaves = max(held, key=lambda one, at=at: (held[one] - at) * sizes[one])
            taken -= sizes[leaves]
            del held[leaves]
    return hits


def bound_hits(asks: Sequence[int], sizes: Sequence[int], room: int) -> list[bool]:
    """Return as many hits as no policy exceeds; which ones they are has no meaning."""
    spans = [
        ((coming - at) * sizes[manual], int(coming))
        for at, (manual, coming) in enumerate(zip(asks, next_asks(asks), strict=True))
        if coming < len(asks)
    ]
    hits, left = [False] * len(asks), float(room * len(asks))
    for cost, at in sorted(spans):
        left -= cost
        if left < 0:
            break
        hits[at] = True
    return hits


POLICIES = {
    LRU: lru_hits,
    OURS: shelf_hits,
    TEXTS: text_hits,
    IDEAL: ideal_hits,
    BOUND: bound_hits,
}


def main() -> None:
    arguments = Arguments("cache", __doc__)
    arguments.size("--asks", 20_000, 3_000, "asks of a sequence")
    arguments.size("--rounds", 3, 1, "sequences of each kind, from other seeds")
    arguments.size("--percent", [2.0, 5.0, 10.0, 20.0], [5.0, 20.0], "of all bytes that fit")
    options = arguments.parse_args()
    result = Result(
        "cache",
        f"Manuals found prepared, {options.asks:,} asks for {MANUALS:,} manuals",
        "How often is a manual found in the cache, against plain LRU and against the ideal?",
        [
            Measure("hits", "found", "% of asks", ratio=True, better="more"),
            Measure("work", "found", "% of bytes", better="more"),
            Measure("us", "time an ask", "µs"),
        ],
        x="% of bytes that fit",
        quick=options.quick,
        notes=["Rounds differ in their seed; all policies get the same asks, all begin empty."],
    )
    for name, make in workloads(options.asks).items():
        for percent in options.percent:
            compare(result, name, make, percent, options.rounds)
        if 5.0 in options.percent:
            result.figure(name, OURS, "hits", group=name, x=5.0, ratio=True, at_least=1)
    result.plots += [Lines("hits", groups=name) for name in workloads(0)]
    publish(result)


def compare(result: Result, name: str, make: Workload, percent: float, rounds: int) -> None:
    """Add the rows of one kind of sequence and one size of the cache."""
    found: dict[str, list[tuple[float, float, float]]] = {policy: [] for policy in POLICIES}
    for seed in range(1, rounds + 1):
        dice = random.Random(seed)
        sizes = prepared_sizes(MANUALS, dice)
        room = int(sum(sizes) * percent / 100)
        asks = make(dice)
        for policy, answer in POLICIES.items():
            started = time.perf_counter()
            hits = answer(asks, sizes, room)
            spent_us = (time.perf_counter() - started) * 1e6 / len(asks)
            in_bytes = sum(sizes[one] for one, hit in zip(asks, hits, strict=True) if hit)
            share = 100 * sum(hits) / len(asks)
            work = 100 * in_bytes / sum(sizes[one] for one in asks)
            found[policy].append((share, work, spent_us))
    for policy, values in found.items():
        shares, works, times = zip(*values, strict=True)
        result.add(
            policy,
            group=name,
            x=percent,
            baseline=policy == LRU,
            hits=shares,
            work=None if policy == BOUND else works,
            us=times if policy in (LRU, OURS, TEXTS) else None,
        )


if __name__ == "__main__":
    main()
