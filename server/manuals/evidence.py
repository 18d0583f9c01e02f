"""What the places of a question's terms in a passage tell, beyond how often they stand there.

A passage of two hundred words often has several topics. One that has the terms close together,
or as a line of its own (a title inside the section, the name of a menu entry or of an error),
answers more often than one that has them scattered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

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
    """Weighs passages for one question: `asked` are its terms' weights, `weight_of` any term's."""

    def __init__(self, asked: Mapping[int, float], weight_of: Callable[[int], float]) -> None:
        self._asked = asked
        self._weight_of = weight_of

    def weigh(self, sequence: Sequence[int], lines: Sequence[int]) -> float:
        """Return what to add to the score of a passage.

        `sequence` are the passage's terms in their order, `lines` start and end in it of each line
        that stands on its own, one after the other.
        """
        places = [(at, term) for at, term in enumerate(sequence) if term in self._asked]
        near = sum(weight * self._within(places, width) for width, weight in SPANS)
        return near + LINE_WEIGHT * self._best_line(sequence, lines)

    def _within(self, places: Sequence[tuple[int, int]], width: int) -> float:
        """Return the greatest weight of distinct asked terms in any `width` terms in a row."""
        inside: deque[tuple[int, int]] = deque()
        held: dict[int, int] = {}
        weight = best = 0.0
        for at, term in places:
            inside.append((at, term))
            held[term] = held.get(term, 0) + 1
            if held[term] == 1:
                weight += self._asked[term]
            while inside[0][0] < at - width:
                _, gone = inside.popleft()
                held[gone] -= 1
                if not held[gone]:
                    weight -= self._asked[gone]
            best = max(best, weight)
        return best

    def _best_line(self, sequence: Sequence[int], lines: Sequence[int]) -> float:
        """Return the best line's asked weight, times its share of all the line's weight."""
        best = 0.0
        for start, end in zip(lines[::2], lines[1::2], strict=True):
            said = set(sequence[start:end])
            asked = sum(self._asked[term] for term in said if term in self._asked)
            if asked > best:
                best = max(best, asked * asked / sum(map(self._weight_of, said)))
        return best
