"""The built-in model: it quotes the manual instead of writing.

It needs no key, no network and no time. Its answer is the sentences of the best passages that
bear most on the question, each stretch with the same `[MANUAL: ...]` marker that a large model is
asked to write, so that the same parser and the same check of quotes stand behind both. Where the
manual does not say, it says so.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.language.cleaning import neutralise, strip_hidden
from server.language.sentences import sentences
from server.language.terms import terms
from server.language.tokens import estimate_tokens
from server.llm.port import (
    ContextPassage,
    Finish,
    ModelEvent,
    ModelRequest,
    TextDelta,
    Usage,
)

STRETCH_WORDS = 80
SECOND_STRETCH_WORDS = 40
MIN_SIGNAL = 0.12
CHUNK_WORDS = 4
QUOTE_WORDS = 8
MAX_QUOTE_CHARS = 120
MAX_FOLLOW_UPS = 2
MAX_WARNING_CHARS = 300

_WARNING = re.compile(
    r"^[\W_]*(?:warning|caution|danger|attention|avertissement|mise en garde)\b\s*[:!.–-]*\s*",
    re.IGNORECASE,
)
_QUOTABLE = re.compile(r"[^\[\]\"“”\f]+")
_BULLET_LINE = re.compile(r"(?:[•●○◦▪■►▶–*-]|\(?\d{1,2}[.)])\s")
_CHUNK = re.compile(rf"(?:\S+\s*){{1,{CHUNK_WORDS}}}")

_PHRASES = {
    "en": {
        "silent": "The manual does not say.",
        "near": "The manual does not say directly. The nearest passage:",
        "no_manual": "There is no manual for {product} to quote from, so this cannot be answered.",
        "product": "this product",
        "next": "What does the manual say about {topic}?",
    },
    "fr": {
        "silent": "Le manuel n'en dit rien.",
        "near": "Le manuel ne le dit pas directement. Le passage le plus proche :",
        "no_manual": "Aucun manuel de {product} n'est disponible ; il n'y a rien à citer.",
        "product": "ce produit",
        "next": "Que dit le manuel au sujet de « {topic} » ?",
    },
}


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of passage number `passage`: offsets in that passage's text, words, terms."""

    passage: int
    start: int
    end: int
    words: int
    terms: tuple[str, ...]


class Extractive:
    """A model that answers with verbatim stretches of the passages it is given."""

    name = "extractive"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Yield the answer in pieces of a few words, its estimated usage, and its end.

        The same request gives the same events. `signal` is the share of the question, weighted by
        how rare its words are in the passages, that the quoted stretch covers.
        """
        text, signal = compose(request)
        for chunk in _CHUNK.findall(text):
            yield TextDelta(chunk)
        asked = estimate_tokens(request.system + request.manual + request.question)
        yield Usage(asked, estimate_tokens(text), estimated=True)
        yield Finish("stop", signal=signal)

    async def check(self) -> None:
        """Return at once: there is nothing that could be down."""

    async def aclose(self) -> None:
        """Return at once: there is nothing to give back."""


def compose(request: ModelRequest) -> tuple[str, float]:
    """Return the whole answer as model text with markers, and the signal, 0..1."""
    phrases = _PHRASES.get(request.language.split("-")[0].lower(), _PHRASES["en"])
    if not request.manual and not request.passages:
        product = _plain(request.product_name) or phrases["product"]
        return phrases["no_manual"].format(product=product), 0.0
    asked = list(dict.fromkeys(terms(request.question)))
    found = [
        sentence
        for number in range(len(request.passages))
        for sentence in _split(request.passages, number)
    ]
    weights = _weights(asked, found)
    best = _best_stretch(request.passages, found, weights, STRETCH_WORDS, exclude=())
    if best is None:
        return phrases["silent"], 0.0
    signal = _coverage(best, weights)
    if signal < MIN_SIGNAL:
        return phrases["silent"], signal
    parts = [_quote(request.passages, best)]
    covered = {term for sentence in best for term in sentence.terms}
    left = {term: weight for term, weight in weights.items() if term not in covered}
    second = _best_stretch(request.passages, found, left, SECOND_STRETCH_WORDS, exclude=tuple(best))
    if second is not None and _coverage(second, weights) >= 0.5 and left:
        parts.append(_quote(request.passages, second))
    parts += _warnings(request.passages, found, best)
    parts += _follow_ups(request.passages, best, phrases["next"])
    return "\n\n".join(parts), round(signal, 3)


def _split(passages: Sequence[ContextPassage], number: int) -> Iterator[_Sentence]:
    text = passages[number].text
    for start, end in sentences(text):
        words = text[start:end]
        yield _Sentence(number, start, end, len(words.split()), tuple(terms(words)))


def _weights(asked: Sequence[str], found: Sequence[_Sentence]) -> dict[str, float]:
    """Return the weight of each asked term: rarer among the sentences is heavier."""
    holding = Counter(term for sentence in found for term in set(sentence.terms))
    return {term: math.log(1 + len(found) / (holding[term] + 0.5)) for term in asked}


def _coverage(stretch: Sequence[_Sentence], weights: dict[str, float]) -> float:
    held = {term for sentence in stretch for term in sentence.terms}
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in held) / total if total else 0.0


def _best_stretch(
    passages: Sequence[ContextPassage],
    found: Sequence[_Sentence],
    weights: dict[str, float],
    words: int,
    exclude: tuple[_Sentence, ...],
) -> list[_Sentence] | None:
    """Return the best sentence grown to about `words` words inside its passage, or None."""
    total = sum(weights.values())
    if not total:
        return None
    best: tuple[float, int] | None = None
    pairs = set(pairwise(weights))
    for index, sentence in enumerate(found):
        if sentence in exclude or not sentence.terms:
            continue
        held = set(sentence.terms)
        score = sum(weight for term, weight in weights.items() if term in held) / total
        score += 0.3 * sum(1 for pair in pairwise(sentence.terms) if pair in pairs)
        score += passages[sentence.passage].score
        if score > (best[0] if best else 0.0):
            best = (score, index)
    return None if best is None else _grow(found, best[1], words, exclude)


def _grow(
    found: Sequence[_Sentence], index: int, words: int, exclude: tuple[_Sentence, ...]
) -> list[_Sentence]:
    """Add the sentences after, then before, while they are of the same passage and fit."""
    first = last = index
    size = found[index].words
    grown = True
    while grown and size < words:
        grown = False
        for candidate in (last + 1, first - 1):
            if not 0 <= candidate < len(found):
                continue
            sentence = found[candidate]
            if sentence.passage != found[index].passage or sentence in exclude:
                continue
            if size + sentence.words > words + 15:
                continue
            first, last = min(first, candidate), max(last, candidate)
            size += sentence.words
            grown = True
            break
    return list(found[first : last + 1])


def _quote(passages: Sequence[ContextPassage], stretch: Sequence[_Sentence]) -> str:
    """Return the stretch as text with its marker; list entries keep their lines."""
    passage = passages[stretch[0].passage]
    pieces: list[str] = []
    for sentence in stretch:
        raw = passage.text[sentence.start : sentence.end]
        words = _plain(raw)
        if pieces:
            pieces.append("\n" if _BULLET_LINE.match(words) else " ")
        pieces.append(words)
    start, end = stretch[0].start, stretch[-1].end
    pointer = _pointer(passage.text[start:end])
    quoted = f' "{pointer}"' if pointer else ""
    return f"{''.join(pieces)} [MANUAL: p.{passage.page}{quoted}]"


def _pointer(text: str) -> str:
    """Return the first words of a quote that a marker can hold as they are."""
    for match in _QUOTABLE.finditer(text):
        words = match.group().split()[:QUOTE_WORDS]
        pointer = " ".join(words)[:MAX_QUOTE_CHARS]
        if len(words) >= 3 or len(pointer) >= 12:
            return strip_hidden(pointer)[0]
    return ""


def _warnings(
    passages: Sequence[ContextPassage], found: Sequence[_Sentence], best: Sequence[_Sentence]
) -> list[str]:
    """Return a marker for the first warning in the passage of the answer, if there is one."""
    for sentence, following in pairwise([*found, found[-1]]):
        if sentence.passage != best[0].passage:
            continue
        text = _plain(passages[sentence.passage].text[sentence.start : sentence.end])
        sign = _WARNING.match(text)
        if sign is None:
            continue
        said = text[sign.end() :]
        if not said and following.passage == sentence.passage:
            said = _plain(passages[following.passage].text[following.start : following.end])
        said = _bracket_free(said)
        if said:
            return [f"[WARNING: {said[:MAX_WARNING_CHARS]}]"]
    return []


def _follow_ups(
    passages: Sequence[ContextPassage], best: Sequence[_Sentence], phrase: str
) -> list[str]:
    """Return markers for the topics of other passages, best first."""
    here = passages[best[0].passage].heading
    topics = dict.fromkeys(
        _bracket_free(_plain(passage.heading.rsplit(" > ", 1)[-1]))
        for passage in sorted(passages, key=lambda passage: -passage.score)
        if passage.heading != here and passage.score > 0
    )
    chosen = [topic for topic in topics if 3 <= len(topic) <= 80][:MAX_FOLLOW_UPS]
    return [f"[FOLLOW UP: {phrase.format(topic=topic)}]" for topic in chosen]


def _plain(text: str) -> str:
    """Return manual text on one line, without hidden characters and without markers."""
    return neutralise(" ".join(strip_hidden(text)[0].split()))


def _bracket_free(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").strip()
