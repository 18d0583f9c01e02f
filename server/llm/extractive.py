"""The built-in model: it quotes the manual instead of writing.

It needs no key, no network and no time. Its answer is the stretches of the given passages that
bear most on the question, each with the same `[MANUAL: ...]` marker that a large model is asked to
write, so that the same parser and the same check of quotes stand behind both. Where the manual
does not say, it says so.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

from server.language.cleaning import neutralise, strip_hidden
from server.language.tokens import estimate_tokens
from server.llm.port import (
    ContextPassage,
    Finish,
    ModelEvent,
    ModelRequest,
    TextDelta,
    Usage,
)
from server.llm.quoting import Choice, Sentence, Stretch, choose_stretches, split_passages

SILENT_BELOW = 0.2
"""Under this share of the question the nearest stretch is not worth quoting."""
NEAR_BELOW = 0.4
"""Under this share the answer says that it is only near. Seven in ten questions about another
product end here or find nothing at all, and one in twenty-five about the right one."""

CHUNK_WORDS = 4
MAX_QUOTED_WORDS = 120
"""A longer stretch (one endless table line) is cut here, with an ellipsis."""
POINTER_WORDS = 8
MAX_POINTER_CHARS = 120
MAX_FOLLOW_UPS = 2
MAX_TOPIC_CHARS = 80
MAX_WARNING_CHARS = 300

_WARNING = re.compile(
    r"[\W_]*(?:warning|caution|danger|avertissement|attention|mise en garde)(?:\s*[:!.–-]+\s*|\Z)",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"[\W_]*(?:WARNING|CAUTION|DANGER|AVERTISSEMENT)\b\s*")
_QUOTABLE = re.compile(r"[^\[\]\"“”„«»]+")
_BULLET = re.compile(r"(?:[•●○◦▪■►▶–*-]|\(?\d{1,2}[.)])\s")
_ENDED = re.compile(r"[.!?…:;,。！？][\"'”’»)\]]*$")
_NUMBERING = re.compile(r"^(?:[A-Za-z]?[\d.]*\d[.)]*|[A-Z][.)])\s+")
_CHUNK = re.compile(rf"\s*(?:\S+\s*){{1,{CHUNK_WORDS}}}")

_PHRASES = {
    "en": {
        "silent": "The manual does not say.",
        "near": "The manual does not say directly. The nearest passage:",
        "no_manual": "There is no manual for {product} that could be quoted.",
        "facts": "The catalog says:",
        "product": "this product",
        "next": "What does the manual say about {topic}?",
    },
    "fr": {
        "silent": "Le manuel n'en dit rien.",
        "near": "Le manuel ne le dit pas directement. Le passage le plus proche :",
        "no_manual": "Il n'y a pas de manuel pour {product} qui puisse être cité.",
        "facts": "Le catalogue indique :",
        "product": "ce produit",
        "next": "Que dit le manuel au sujet de « {topic} » ?",
    },
}


class Extractive:
    """A model that answers with verbatim stretches of the passages it is given."""

    name = "extractive"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Yield the answer in pieces of a few words, its estimated usage, and its end.

        The same request gives the same events. `signal` is the share of the question, weighted by
        how rare its words are in the passages, that the quoted stretches cover.
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
        return _without_manual(request, phrases), 0.0
    passages = request.passages
    found = split_passages(passages)
    choice = choose_stretches(request.question, passages, found)
    if choice.share < SILENT_BELOW:
        return phrases["silent"], round(choice.share, 3)
    parts = _warnings(passages, found, choice)
    parts += [phrases["near"]] if choice.share < NEAR_BELOW else []
    parts += [_quote(passages, stretch) for stretch in choice.stretches]
    parts += _follow_ups(passages, choice, phrases["next"])
    return "\n\n".join(parts), round(choice.share, 3)


def _without_manual(request: ModelRequest, phrases: dict[str, str]) -> str:
    """Return what the catalog knows, and that there is no manual."""
    product = _plain(request.product_name) or phrases["product"]
    lines = [phrases["no_manual"].format(product=product)]
    facts = [f"- {_plain(line)}" for line in request.facts.splitlines() if line.strip()]
    if facts:
        lines += [phrases["facts"], *facts]
    return "\n".join(lines)


def _quote(passages: Sequence[ContextPassage], stretch: Stretch) -> str:
    """Return the stretch as text with its marker; titles and list entries keep their lines."""
    passage = passages[stretch[0].passage]
    text = ""
    for sentence in stretch:
        words = _plain(_said(passages, sentence))
        if text:
            text += " " if _ENDED.search(text) and not _BULLET.match(words) else "\n"
        text += words
    words_with_gaps = re.findall(r"\S+\s*", text)
    if len(words_with_gaps) > MAX_QUOTED_WORDS:
        text = "".join(words_with_gaps[:MAX_QUOTED_WORDS]).rstrip() + " …"
    pointer = _pointer(passage.text[stretch[0].start : stretch[-1].end])
    return f"{neutralise(text)} [MANUAL: p.{passage.page}{pointer}]"


def _pointer(text: str) -> str:
    """Return the first words of a quote that a marker can hold as they are, in quotation marks."""
    for match in _QUOTABLE.finditer(text):
        words = strip_hidden(match.group())[0].split()[:POINTER_WORDS]
        pointer = " ".join(words)
        while len(pointer) > MAX_POINTER_CHARS and len(words) > 1:
            words.pop()
            pointer = " ".join(words)
        if len(words) >= 3 or len(pointer) >= 12:
            return f' "{pointer[:MAX_POINTER_CHARS]}"'
    return ""


def _warnings(
    passages: Sequence[ContextPassage], found: Sequence[Sentence], choice: Choice
) -> list[str]:
    """Return a marker for the first warning in the passage of the answer, if it has one."""
    number = choice.stretches[0][0].passage
    said = [_plain(_said(passages, sentence)) for sentence in found if sentence.passage == number]
    for sentence, following in pairwise([*said, ""]):
        sign = _WARNING.match(sentence) or _CAPITALS.match(sentence)
        if sign is None:
            continue
        warning = _without_brackets(sentence[sign.end() :] or following)
        if warning:
            return [f"[WARNING: {_shorten(warning, MAX_WARNING_CHARS)}]"]
    return []


def _follow_ups(passages: Sequence[ContextPassage], choice: Choice, phrase: str) -> list[str]:
    """Return markers for the topics of other passages, best first."""
    quoted = {passages[stretch[0].passage].heading for stretch in choice.stretches}
    topics = dict.fromkeys(
        _without_brackets(_NUMBERING.sub("", _plain(passage.heading.rsplit(" > ", 1)[-1])))
        for passage in sorted(passages, key=lambda passage: -passage.score)
        if passage.heading not in quoted and passage.score > 0
    )
    chosen = [topic for topic in topics if 4 <= len(topic) <= MAX_TOPIC_CHARS][:MAX_FOLLOW_UPS]
    return [f"[FOLLOW UP: {phrase.format(topic=topic)}]" for topic in chosen]


def _said(passages: Sequence[ContextPassage], sentence: Sentence) -> str:
    return passages[sentence.passage].text[sentence.start : sentence.end]


def _plain(text: str) -> str:
    """Return text on one line, without hidden characters and without markers."""
    return neutralise(" ".join(strip_hidden(text)[0].split()))


def _without_brackets(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").strip()


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 2].rsplit(" ", 1)[0] + " …"
