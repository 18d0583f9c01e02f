"""Sequences of asks for manuals, as a catalog sees them; the same seed gives the same sequence."""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate

CONTENT = 2 / 3
"""Chance that someone who asked about a manual asks about it again."""

PAUSE_ASKS = 40.0
"""Asks of others between two of one person, on average."""

POPULAR = 50
"""Ranks among which a drift changes places with the long tail."""


class Zipf:
    """Manuals 0 to `count` - 1, drawn with chances that fall with rank to the power `exponent`.

    Which manual has which rank is shuffled, so that rank and size have nothing to do with each
    other.
    """

    def __init__(self, count: int, exponent: float, dice: random.Random) -> None:
        self._dice = dice
        self._manuals = list(range(count))
        dice.shuffle(self._manuals)
        self._sums = list(accumulate(rank**-exponent for rank in range(1, count + 1)))

    def draw(self) -> int:
        """Return a manual."""
        return self._manuals[bisect(self._sums, self._dice.random() * self._sums[-1])]

    def drift(self) -> None:
        """Let a popular manual and any other change places."""
        one, other = self._dice.randrange(POPULAR), self._dice.randrange(len(self._manuals))
        self._manuals[one], self._manuals[other] = self._manuals[other], self._manuals[one]


def single_asks(zipf: Zipf, drift_every: int = 0) -> Iterator[int]:
    """Yield asks that know nothing of each other; a rank changes after every `drift_every`."""
    number = 0
    while True:
        number += 1
        if drift_every and number % drift_every == 0:
            zipf.drift()
        yield zipf.draw()


def swept_asks(zipf: Zipf, count: int, every: int) -> Iterator[int]:
    """Yield single asks, and after every so many one for each manual, as a crawler makes them."""
    for number, manual in enumerate(single_asks(zipf), 1):
        yield manual
        if number % every == 0:
            yield from range(count)


def conversations(zipf: Zipf, dice: random.Random) -> Iterator[int]:
    """Yield asks of people who ask about one manual several times, with pauses between."""
    waiting: list[tuple[float, int]] = []
    now = 0
    while True:
        now += 1
        if dice.random() > CONTENT:
            manual, at = zipf.draw(), float(now)
            heapq.heappush(waiting, (at, manual))
            while dice.random() < CONTENT:
                at += dice.expovariate(1 / PAUSE_ASKS)
                heapq.heappush(waiting, (at, manual))
        while waiting and waiting[0][0] <= now:
            yield heapq.heappop(waiting)[1]


def prepared_sizes(count: int, dice: random.Random) -> list[int]:
    """Return bytes of prepared manuals: pages log-normal about 60, as many bytes as we measured.

    A prepared manual of 30 pages took 0.7 MB, one of 100 1.4 MB, one of 300 3.1 MB.
    """
    pages = (min(1000.0, max(4.0, dice.lognormvariate(math.log(60), 1.0))) for _ in range(count))
    return [int(400_000 + 9_000 * each) for each in pages]


def next_asks(asks: Sequence[int]) -> list[float]:
    """Return for each ask where the same manual is asked for next; infinite for never."""
    coming: dict[int, float] = {}
    found = [math.inf] * len(asks)
    for at in range(len(asks) - 1, -1, -1):
        found[at] = coming.get(asks[at], math.inf)
        coming[asks[at]] = at
    return found
