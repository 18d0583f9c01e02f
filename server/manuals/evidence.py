"""What the places of a question's terms in a passage tell, beyond how often they stand there.

A passage of two hundred words often has several topics. One that has the terms close together,
or as a line of its own (a title inside the section, the name of a menu entry or of an error),
answers more often than one that has them scattered.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence

SPANS = ((5, 1.0), (40, 1.0))
"""Widths in terms, about a phrase and a paragraph, and their weights."""

LINE_WEIGHT = 0.7
MAX_LINE_WORDS = 8
MAX_LINE_SHARE = 0.6
"""A line that stands on its own is at most so much of a full line."""


def is_standalone(line: str, full_chars: int) -> bool:
    """Whether a line reads as a title or a name of its own rather than as part of a sentence."""
    bare = line.strip()
    return (
        0 < len(bare) <= MAX_LINE_SHARE * full_chars
        and not bare[0].islower()
        and bare[-1] not in ".,;"
        and len(bare.split()) <= MAX_LINE_WORDS
    )


class Evidence:
    """Weighs passages for one question: `asked` are its terms' weights, `weight_of` any term's.

    Terms are numbers, and a sequence of them is the bytes of an `array("I")`.
    """

    def __init__(self, asked: Mapping[int, float], weight_of: Callable[[int], float]) -> None:
        self._asked = asked
        self._weight_of = weight_of
        self._patterns = [(term, array("I", (term,)).tobytes()) for term in asked]

    def weigh(self, sequence: bytes, lines: Sequence[int]) -> float:
        """Return what to add to the score of a passage.

        `sequence` are the passage's terms in their order, `lines` start and end in it of each line
        that stands on its own, one after the other.
        """
        places = sorted(
            (at, term) for term, pattern in self._patterns for at in aligned(sequence, pattern)
        )
        near = sum(weight * self._within(places, width) for width, weight in SPANS)
        return near + LINE_WEIGHT * self._best_line(sequence, lines, [at for at, _ in places])

    def _within(self, places: Sequence[tuple[int, int]], width: int) -> float:
        """Return the greatest weight of distinct asked terms in any `width` terms in a row."""
        possible = len({term for _, term in places})
        held: dict[int, int] = {}
        weight = best = 0.0
        first = 0
        for at, term in places:
            held[term] = held.get(term, 0) + 1
            if held[term] == 1:
                weight += self._asked[term]
            while places[first][0] < at - width:
                gone = places[first][1]
                first += 1
                held[gone] -= 1
                if not held[gone]:
                    del held[gone]
                    weight -= self._asked[gone]
            best = max(best, weight)
            if len(held) == possible:
                break  # all that the passage has; nothing can weigh more
        return best

    def _best_line(self, sequence: bytes, lines: Sequence[int], places: Sequence[int]) -> float:
        """Return the best line's asked weight, times its share of all the line's weight."""
        best = 0.0
        for start, end in zip(lines[::2], lines[1::2], strict=True):
            at = bisect_left(places, start)
            if at == len(places) or places[at] >= end:
                continue
            said = set(array("I", sequence[4 * start : 4 * end]))
            asked = sum(self._asked[term] for term in said if term in self._asked)
            if asked > best:
                best = max(best, asked * asked / sum(map(self._weight_of, said)))
        return best


def aligned(sequence: bytes, pattern: bytes) -> Iterator[int]:
    """Yield where, in terms, a pattern of one or more terms stands in a sequence of them."""
    at = sequence.find(pattern)
    while at >= 0:
        if at % 4:
            at = sequence.find(pattern, at + 1)
        else:
            yield at // 4
            at = sequence.find(pattern, at + 4)
