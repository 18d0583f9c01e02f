"""Text to the terms that search compares: folded, stemmed, without words that carry no topic.

Made for English and usable for any language: French function words are known too, other languages
rely on the ranking giving little weight to what stands everywhere, and scripts without spaces
between words are cut into pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ENGLISH = """
a about above after again against all am an and any anyone are aren as at be because been before
being below between both but by can cannot could couldn did didn do does doesn doing don done down
during each either else ever every few for from further get gets getting give go goes going got had
has hasn have haven having he help her here hers him his how however i if in into is isn it its
itself just kind know let like ll made make makes making many may me might mine more most much must
my myself need needs neither no nor not now of off on once one only or other our ours out over own
per please possible same shall she should show so some someone something such t tell than that the
their theirs them then there these they thing things this those through to too under until up upon
us ve very via want wants was way ways we well were what when where whether which while who whom
whose why will with without won would yes yet you your yours d m s re
explain describe purpose mean means happen happens able try trying whats
"""
_FRENCH = """
au aux avec ce ces cet cette comment dans de des du elle elles en est et eux il ils je la le les
leur leurs lui ma mais mes moi mon ne nos notre nous ou où par pas pour pourquoi puis quand que quel
quelle quelles quels qui quoi sa se ses si ta te tes toi ton tu un une vos votre vous y l n j qu c
etre ete sont suis avez avons ont ai faut peut peux faire fait
"""
STOP_WORDS = frozenset(_ENGLISH.split()) | frozenset(
    unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    for word in _FRENCH.split()
)
"""Words that are never terms, folded. `off` and `on` too: nearly every page has them."""

MAX_TERM_CHARS = 64
MAX_WORD_PARTS = 8
"""Longer runs (encoded data, damaged text) are cut here so that every term stays short."""

MAX_JOINED_CHARS = 5
"""Longer words are not often written as one with their neighbours."""

_PIECE = rf"[^\W_]{{1,{MAX_TERM_CHARS}}}"
_WORD = re.compile(rf"{_PIECE}(?:[-_.'’/]{_PIECE}){{0,{MAX_WORD_PARTS - 1}}}")
_PART = re.compile(r"[^\W_]+")
_MARKS = re.compile("[\u0300-\u036f]")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+"
)


def terms(text: str) -> list[str]:
    """Return the terms of `text` in their order, with repetitions.

    `TD-17`, `td17` and `Wi-Fi` all give the joined form, beside their parts where these are words;
    `5 GHz` gives what `5GHz` gives. A text of stop words alone gives an empty list.
    """
    found: list[str] = []
    previous = ""
    for word in _WORD.findall(fold(text)):
        found += _word_terms(word)
        if len(word) > MAX_JOINED_CHARS or not word.isascii():
            previous = ""
            continue
        if previous and _joins(previous, word):
            found.append(previous + word)
        previous = word if word.isalnum() else ""
    return found


def fold(text: str) -> str:
    """Return `text` in one case and form, without the accents of European scripts."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _MARKS.sub("", decomposed))


def _joins(previous: str, word: str) -> bool:
    """Whether two short neighbours are often written as one: `HDMI 1`, `5 GHz`."""
    if previous.isdigit():
        return word.isalpha() and len(word) <= 3 and word not in STOP_WORDS
    return word.isdigit() and previous.isalpha() and previous not in STOP_WORDS


@lru_cache(maxsize=65_536)
def _word_terms(word: str) -> tuple[str, ...]:
    if _UNSPACED.search(word):
        return _unspaced_terms(word)
    parts = _PART.findall(word)
    if len(parts) == 1:
        return () if word in STOP_WORDS else (stem(word),)
    if len(parts) == 2 and parts[1] in ("s", "t", "re", "ve", "ll", "d", "m"):
        parts = parts[:1]  # the television's, don't
        return () if parts[0] in STOP_WORDS else (stem(parts[0]),)
    made = [stem(part) for part in parts if part not in STOP_WORDS]
    if made and len(parts) <= 3 and not set(word) & set("'’/"):
        joined = "".join(parts)
        if len(joined) <= MAX_TERM_CHARS:
            made.append(stem(joined))
    return tuple(made)


def _unspaced_terms(word: str) -> tuple[str, ...]:
    made: list[str] = []
    end = 0
    for run in _UNSPACED.finditer(word):
        made += [stem(part) for part in _PART.findall(word[end : run.start()])]
        text = run.group()
        made += [text] if len(text) == 1 else [text[i : i + 2] for i in range(len(text) - 1)]
        end = run.end()
    made += [stem(part) for part in _PART.findall(word[end:])]
    return tuple(made)


_SUFFIXES = (
    ("ations", "ate"),
    ("ation", "ate"),
    ("ments", "ment"),
    ("nesses", ""),
    ("ness", ""),
    ("ingly", ""),
    ("edly", ""),
    ("ings", ""),
    ("ing", ""),
    ("ied", "y"),
    ("ies", "y"),
    ("ed", ""),
    ("ers", "er"),
    ("ly", ""),
    ("es", "e"),
    ("s", ""),
)
_VOWEL = re.compile("[aeiouy]")


def stem(word: str) -> str:
    """Return the stem of a folded word: a dozen suffix rules, no dictionary.

    Words under four letters, with digits, or in other scripts stay as they are.
    """
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for suffix, ending in _SUFFIXES:
        if word.endswith(suffix):
            root = word[: -len(suffix)]
            if suffix == "s" and word.endswith(("ss", "us", "is")):
                return word
            if len(root) < 3 or not _VOWEL.search(root):
                continue
            if not ending and suffix != "s" and root[-1] == root[-2] and root[-1] not in "aeiouls":
                root = root[:-1]
            word = root + ending
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
