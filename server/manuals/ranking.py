"""The index of one manual and the search in it: BM25 over words and pairs of words, then a second
look at the best twenty.

docs/retrieval.md has the measurements behind every choice. The index is built once from a
`ManualText`, is never changed afterwards and may be searched from any thread.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.language.terms import terms
from server.manuals.documents import ManualText, Passage
from server.manuals.evidence import LINE_WEIGHT, SPANS, Evidence, aligned, is_standalone
from server.manuals.passages import Cut, cut_passages

K1 = 1.2
B = 0.6
TITLE_WEIGHT = 3
PAIR_WEIGHT = 0.5
RERANKED = 20
FULL_SCORE = (K1 + 1) * (1 + PAIR_WEIGHT) + sum(weight for _, weight in SPANS) + LINE_WEIGHT
"""About the best score that a term of weight 1 can bring, all evidence for it: 6."""

MAX_QUESTION_TERMS = 64
"""Distinct terms of a question that are looked up; the rest of a very long one is not read."""

_GAP = 0xFFFF_FFFF
"""Stands between title and body in a sequence, so that no pair runs over both."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One found passage. `score` is for ordering within one search. `share` is the score as a share
    of `FULL_SCORE` for every term of the question, 0..1: low where the question has words that the
    passage, or the whole manual, has not.
    """

    passage: Passage
    score: float
    share: float


class ManualIndex:
    """One manual, cut into passages and ready to be searched. Make it with `build`.

    `passages` are in document order, `running` the spans of headers and footers in the text;
    `size_bytes` is about what the index takes beside the text.
    """

    __slots__ = (
        "_lengths",
        "_lines",
        "_norms",
        "_postings",
        "_sequences",
        "_vocabulary",
        "manual",
        "passages",
        "running",
        "size_bytes",
    )

    def __init__(self, manual: ManualText, cut: Cut) -> None:
        self.manual = manual
        self.passages = cut.passages
        self.running = cut.running
        self._vocabulary: dict[str, int] = {}
        self._postings: list[tuple[array[int], array[int]]] = []
        self._sequences: list[bytes] = []
        self._lines: list[array[int]] = []
        self._lengths = array("I")
        for passage in self.passages:
            self._add(passage, _visible_text(manual.text, passage, cut.running), cut.line_chars)
        mean = sum(self._lengths) / max(1, len(self._lengths)) or 1.0
        self._norms = [K1 * (1 - B + B * length / mean) for length in self._lengths]
        self.size_bytes = self._estimate_bytes()

    @classmethod
    def build(cls, manual: ManualText) -> ManualIndex:
        """Return the index of `manual`. Takes about a second for a million characters."""
        return cls(manual, cut_passages(manual))

    def search(self, question: str, limit: int) -> list[Ranked]:
        """Return at most `limit` passages that share a term with the question, best first.

        Equal scores stand in document order. A question without terms finds nothing.
        """
        asked = question_terms(question)
        if not asked or limit < 1:
            return []
        weights = {term: self._idf(len(self._postings_of(term)[0])) for term in asked}
        scores = self._word_scores(weights)
        for one, two in pairwise(asked):
            self._add_pair_scores(one, two, scores)
        best = sorted(scores, key=lambda number: (-scores[number], number))
        self._look_again(best[:RERANKED], weights, scores)
        best[:RERANKED] = sorted(best[:RERANKED], key=lambda number: (-scores[number], number))
        possible = FULL_SCORE * sum(weights.values())
        return [
            Ranked(self.passages[number], scores[number], min(1.0, scores[number] / possible))
            for number in best[:limit]
        ]

    def _word_scores(self, weights: dict[str, float]) -> dict[int, float]:
        """Return BM25 of each passage that has a term."""
        scores: dict[int, float] = {}
        for term, weight in weights.items():
            numbers, counts = self._postings_of(term)
            for number, count in zip(numbers, counts, strict=True):
                gain = weight * count * (K1 + 1) / (count + self._norms[number])
                scores[number] = scores.get(number, 0.0) + gain
        return scores

    def _add_pair_scores(self, one: str, two: str, scores: dict[int, float]) -> None:
        """Add the weighted BM25 of two terms that stand side by side in the manual too."""
        first, second = self._vocabulary.get(one), self._vocabulary.get(two)
        if first is None or second is None:
            return
        pair = array("I", (first, second)).tobytes()
        both = set(self._postings[first][0]).intersection(self._postings[second][0])
        found = {
            number: count
            for number in both
            if (count := sum(1 for _ in aligned(self._sequences[number], pair)))
        }
        weight = PAIR_WEIGHT * self._idf(len(found)) * (K1 + 1)
        for number, count in found.items():
            scores[number] += weight * count / (count + self._norms[number])

    def _look_again(
        self, numbers: Sequence[int], weights: dict[str, float], scores: dict[int, float]
    ) -> None:
        """Add to the scores of the best what the places of the terms in them tell."""
        asked = {
            self._vocabulary[term]: weight
            for term, weight in weights.items()
            if term in self._vocabulary
        }
        evidence = Evidence(asked, lambda term: self._idf(len(self._postings[term][0])))
        for number in numbers:
            scores[number] += evidence.weigh(self._sequences[number], self._lines[number])

    def _postings_of(self, term: str) -> tuple[Sequence[int], Sequence[int]]:
        known = self._vocabulary.get(term)
        return ((), ()) if known is None else self._postings[known]

    def _idf(self, holding: int) -> float:
        """Return how much a term says that `holding` of the passages have."""
        return math.log(1 + (len(self.passages) - holding + 0.5) / (holding + 0.5))

    def _add(self, passage: Passage, text: str, line_chars: int) -> None:
        """Index the next passage."""
        title = self._ids(passage.heading)
        sequence = array("I", (*title, _GAP))
        lines = array("H")
        for line in text.splitlines():
            ids = self._ids(line)
            start = len(sequence)
            sequence.extend(ids)
            if ids and len(sequence) < 65_536 and is_standalone(line, line_chars):
                lines.extend((start, len(sequence)))
        counts = Counter(sequence)
        del counts[_GAP]
        for term in title:
            counts[term] += TITLE_WEIGHT - 1
        number = len(self._sequences)
        for term, count in counts.items():
            numbers, tallies = self._postings[term]
            numbers.append(number)
            tallies.append(min(count, 65_535))
        self._sequences.append(sequence.tobytes())
        self._lines.append(lines)
        self._lengths.append(len(sequence) - 1 + (TITLE_WEIGHT - 1) * len(title))

    def _ids(self, text: str) -> list[int]:
        """Return the numbers of a text's terms; new terms get the next ones."""
        known = self._vocabulary
        ids = [known.setdefault(term, len(known)) for term in terms(text)]
        while len(self._postings) < len(known):
            self._postings.append((array("I"), array("H")))
        return ids

    def _estimate_bytes(self) -> int:
        sequences = sum(len(sequence) + 40 for sequence in self._sequences)
        lines = sum(2 * len(lines) + 90 for lines in self._lines)
        postings = sum(6 * len(numbers) + 250 for numbers, _ in self._postings)
        return sequences + lines + postings + 110 * len(self._vocabulary) + 200 * len(self.passages)


def question_terms(question: str) -> list[str]:
    """Return the distinct terms of a question in their order, bounded in number."""
    return list(dict.fromkeys(terms(question)))[:MAX_QUESTION_TERMS]


def _visible_text(text: str, passage: Passage, running: Sequence[tuple[int, int]]) -> str:
    """Return a passage's text without the running lines inside it."""
    return "".join(_between(text, passage, running))


def _between(text: str, passage: Passage, running: Sequence[tuple[int, int]]) -> Iterator[str]:
    start = passage.start_char
    index = bisect_left(running, (start, start))
    while index < len(running) and running[index][0] < passage.end_char:
        yield text[start : running[index][0]]
        start = running[index][1]
        index += 1
    yield text[start : passage.end_char]
