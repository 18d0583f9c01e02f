"""Which stretches of the given passages bear on a question, without any model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.language.sentences import sentences
from server.language.terms import terms
from server.language.tokens import count_words
from server.llm.port import ContextPassage

STRETCH_WORDS = 80
"""The length a quote is grown to; the token F1 against human answers is flat from 70 to 100."""
SECOND_WORDS = 40
LEEWAY_WORDS = 15
"""A sentence may make a stretch this much longer; a longer one is left out."""
PASSAGE_WEIGHT = 10.0
"""The search knows more than a sentence does: its order of passages decides, unless it is close."""
PAIR_WEIGHT = 0.1
MAX_PASSAGES = 5
"""Only so many of the best passages are read sentence by sentence, which bounds the time."""
LEFT_SHARE = 0.35
"""A second stretch is looked for when the first leaves this share of the question open."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: the number of its passage, its offsets in that passage's text."""

    passage: int
    start: int
    end: int
    words: int
    terms: tuple[str, ...]


Stretch = Sequence[Sentence]
"""Sentences of one passage that follow each other."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The stretches for an answer, best first, and the share of the question that they cover.

    `share` is 0..1, the question's terms weighted by how rare they are among the sentences.
    """

    stretches: tuple[Stretch, ...]
    share: float


def split_passages(passages: Sequence[ContextPassage]) -> list[Sentence]:
    """Return the sentences of the best passages, in the order of the passages."""
    best = sorted(range(len(passages)), key=lambda number: -passages[number].score)[:MAX_PASSAGES]
    found: list[Sentence] = []
    for number in sorted(best):
        passage = passages[number]
        for start, end in sentences(passage.text):
            said = passage.text[start:end]
            found.append(Sentence(number, start, end, count_words(said), tuple(terms(said))))
    return found


def choose_stretches(
    question: str, passages: Sequence[ContextPassage], found: Sequence[Sentence]
) -> Choice:
    """Return the stretches that bear most on the question: none, one, or two.

    The second is looked for only where the first leaves much of the question open, and taken only
    when it covers most of that.
    """
    weights = _weights(question, found)
    first = _best_stretch(passages, found, weights, STRETCH_WORDS)
    if not first:
        return Choice((), 0.0)
    share = _covered(first, weights)
    said = {term for sentence in first for term in sentence.terms}
    left = {term: weight for term, weight in weights.items() if term not in said}
    if sum(left.values()) < LEFT_SHARE * sum(weights.values()):
        return Choice((first,), share)
    second = _best_stretch(passages, found, left, SECOND_WORDS, first)
    if _covered(second, left) <= 0.5:
        return Choice((first,), share)
    return Choice((first, second), _covered([*first, *second], weights))


def _weights(question: str, found: Sequence[Sentence]) -> dict[str, float]:
    """Return the weight of each term of the question: rarer among the sentences is heavier."""
    holding = Counter(term for sentence in found for term in set(sentence.terms))
    return {
        term: math.log(1 + len(found) / (holding[term] + 0.5))
        for term in dict.fromkeys(terms(question))
    }


def _covered(stretch: Stretch, weights: Mapping[str, float]) -> float:
    said = {term for sentence in stretch for term in sentence.terms}
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in said) / total if total else 0.0


def _best_stretch(
    passages: Sequence[ContextPassage],
    found: Sequence[Sentence],
    weights: Mapping[str, float],
    words: int,
    taken: Stretch = (),
) -> Stretch:
    """Return the best sentence that is not taken, grown inside its passage; empty if none."""
    pairs = set(pairwise(weights))
    best, best_score = -1, 0.0
    for index, sentence in enumerate(found):
        covered = _covered([sentence], weights)
        if not covered or sentence in taken:
            continue
        score = covered + PASSAGE_WEIGHT * passages[sentence.passage].score
        score += PAIR_WEIGHT * sum(pair in pairs for pair in pairwise(sentence.terms))
        if score > best_score:
            best, best_score = index, score
    return _grow(found, best, words, taken) if best >= 0 else ()


def _grow(found: Sequence[Sentence], index: int, words: int, taken: Stretch) -> Stretch:
    """Add the sentences after, then those before, while they are of the passage and fit."""
    first = last = index
    size = found[index].words
    for step in (1, -1):
        while size < words:
            at = last + 1 if step > 0 else first - 1
            if not 0 <= at < len(found) or found[at].passage != found[index].passage:
                break
            if found[at] in taken or size + found[at].words > words + LEEWAY_WORDS:
                break
            first, last = min(first, at), max(last, at)
            size += found[at].words
    return found[first : last + 1]
