"""Product search while typing: fuzzy, tolerant of typos, word order and how model names are spelt.

    search = ProductSearch(catalog)
    search.search("td17", 8)      # finds "TD-17"

Names, brands, aliases, ids and categories are cut into terms once. A keystroke looks up the terms
that each query word equals, begins or nearly spells, takes the products that have all the words
(else some of them), from the rarest word on, and scores only those. Named limits bound the work.
"""

from __future__ import annotations

import heapq
import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from operator import itemgetter
from typing import Final

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from server.manuals.products import Catalog, Product

SCORE_FLOOR: Final = 0.5
"""Nothing under this score is a hit: below it lie products that share a common word at most."""
MAX_QUERY_CHARS: Final = 200
MAX_QUERY_WORDS: Final = 12
"""Words of a query looked at; a longer text is no search and its rest is ignored."""
MAX_PREFIX_TERMS: Final = 96
"""Terms that a prefix stands for, the shortest first: "r" would stand for thousands."""
MAX_FUZZY_TERMS: Final = 24
MAX_MATCHES: Final = 50_000
"""Products that one word stands for, the best fitting first; the rest do not count for it."""
MAX_SCORED: Final = 300
"""Products scored in one search: those with all words first."""
MAX_REFINED: Final = 64
"""Best of these whose whole name is compared with the whole query."""
MAX_CACHED: Final = 300_000
"""Matches remembered, about 30 MB: while typing, all words but the last repeat."""

_EXACT, _PREFIX, _FUZZY = 1.0, 0.86, 0.9
_NAME, _BRAND, _CATEGORY = 1.0, 0.95, 0.8
_UNKNOWN: Final = 0.4
_MAX_JOINED: Final = 3
_REFINE_SHARE: Final = 0.15
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_DIGITS: Final = re.compile(r"\d+")
_WORD: Final = re.compile(r"[^\W_]+")
_CHUNK: Final = re.compile(r"\S+")
_PIECE: Final = re.compile(r"\d+|[^\W\d_]+")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_MAX_TERM_CHARS: Final = 40
_MIN_FUZZY_CHARS: Final = 4
_MAX_FUZZY_PREFIX: Final = 12


@dataclass(frozen=True, slots=True)
class Hit:
    """A product found, and how well it fits the query: 0 to 1."""

    product: Product
    score: float


@dataclass(frozen=True, slots=True)
class _Probe:
    """A query word, or adjacent ones joined; the words it accounts for; the products it fits."""

    text: str
    covers: tuple[int, ...]
    fits: Mapping[int, float]


class ProductSearch:
    """An index over one catalog. Building takes about 30 µs a product; it never changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._products = catalog.products
        self._names = [_normal(p.name) for p in self._products]
        self._full_names = [_normal(f"{p.brand} {p.name}") for p in self._products]
        self._postings: dict[str, dict[float, list[int]]] = {}
        for index, product in enumerate(self._products):
            for term, weight in _product_terms(product).items():
                self._postings.setdefault(term, {}).setdefault(weight, []).append(index)
        self._sorted = sorted(self._postings)
        # For typos, terms stand together by digits and length: a wrong digit is another product.
        self._alike: dict[tuple[str, int], list[str]] = defaultdict(list)
        beginnings: dict[int, set[str]] = defaultdict(set)
        for term in self._sorted:
            self._alike[_digits(term), len(term)].append(term)
            if term.isalpha():
                for length in range(_MIN_FUZZY_CHARS, min(len(term), _MAX_FUZZY_PREFIX)):
                    beginnings[length].add(term[:length])
        self._beginnings = {length: sorted(starts) for length, starts in beginnings.items()}
        self._cache: OrderedDict[str, Mapping[int, float]] = OrderedDict()
        self._cached = 0

    def search(self, query: str, limit: int) -> list[Hit]:
        """Return at most `limit` products, best first, each once, none under `SCORE_FLOOR`."""
        words = _WORD.findall(_normal(query[:MAX_QUERY_CHARS]))[:MAX_QUERY_WORDS]
        if not words or limit < 1:
            return []
        probes = self._probe(words)
        weights = self._weights(len(words), probes)
        coarse = [
            (_coverage(index, probes, weights), -index)
            for index in _candidates(len(words), probes, max(MAX_SCORED, limit))
        ]
        best = heapq.nlargest(max(MAX_REFINED, limit), coarse)
        joined = " ".join(words)
        scored = [(self._refine(joined, -negative, score), negative) for score, negative in best]
        return [
            Hit(self._products[-negative], round(score, 4))
            for score, negative in heapq.nlargest(limit, scored)
            if score >= SCORE_FLOOR
        ]

    def _probe(self, words: list[str]) -> list[_Probe]:
        """Look up each word, and adjacent words joined: "td 17" is also "td17"."""
        probes = []
        for size in range(1, _MAX_JOINED + 1):
            for start in range(len(words) - size + 1):
                text = "".join(words[start : start + size])
                if len(text) <= _MAX_TERM_CHARS:
                    covers = tuple(range(start, start + size))
                    probes.append(_Probe(text, covers, self._match(text)))
        return probes

    def _match(self, text: str) -> Mapping[int, float]:
        """Products that a word may mean, best first, with how well it fits each."""
        cached = self._cache.get(text)
        if cached is not None:
            self._cache.move_to_end(text)
            return cached
        lists = [
            (fit * weight, indexes)
            for term, fit in self._terms(text).items()
            for weight, indexes in self._postings[term].items()
        ]
        fits: dict[int, float] = {}
        for fit, indexes in sorted(lists, key=itemgetter(0), reverse=True):
            for index in indexes[: MAX_MATCHES - len(fits)]:
                fits.setdefault(index, fit)
        self._cache[text] = fits
        self._cached += len(fits) + 1
        while self._cached > MAX_CACHED and len(self._cache) > 1:
            self._cached -= len(self._cache.popitem(last=False)[1]) + 1
        return fits

    def _terms(self, text: str) -> dict[str, float]:
        """Terms that equal, continue or nearly spell a word, with how well each fits."""
        found: dict[str, float] = {}
        edits = _edits(text)
        if edits:
            digits, size = _digits(text), len(text)
            for length in (size, size + 1):
                for start, distance in _near(text, self._beginnings.get(length, ()), 1):
                    fit = _FUZZY * _PREFIX * (1 - distance / size)
                    found.update(dict.fromkeys(self._beginning_with(start), fit))
            for length in range(size - edits, size + edits + 1):
                for term, distance in _near(text, self._alike.get((digits, length), ()), edits):
                    fit = _FUZZY * (1 - distance / max(length, size))
                    found[term] = max(fit, found.get(term, 0.0))
        for term in self._beginning_with(text):
            fit = _EXACT if term == text else _PREFIX + (1 - _PREFIX) * len(text) / len(term)
            found[term] = max(fit, found.get(term, 0.0))
        return found

    def _beginning_with(self, text: str) -> Sequence[str]:
        low = bisect_left(self._sorted, text)
        high = bisect_right(self._sorted, text + "\U0010ffff")
        if high - low <= MAX_PREFIX_TERMS:
            return self._sorted[low:high]
        return heapq.nsmallest(MAX_PREFIX_TERMS, self._sorted[low:high], key=len)

    def _weights(self, words: int, probes: list[_Probe]) -> list[float]:
        """How much each query word counts: rare words more, unknown words little."""
        total = math.log(len(self._products) + 1) + 1
        weights = [_UNKNOWN] * words
        for probe in probes:
            if probe.fits:
                weight = 1.5 - math.log(len(probe.fits) + 1) / total
                for word in probe.covers:
                    if len(probe.covers) == 1 or weights[word] == _UNKNOWN:
                        weights[word] = weight
        return weights

    def _refine(self, query: str, index: int, coverage: float) -> float:
        likeness = max(
            fuzz.ratio(query, self._names[index]), fuzz.ratio(query, self._full_names[index])
        )
        return (1 - _REFINE_SHARE) * coverage + _REFINE_SHARE * likeness / 100


def _candidates(words: int, probes: list[_Probe], limit: int) -> Iterable[int]:
    """Products worth scoring: with all known words, from the rarest on; then with some of them."""
    known = [[p.fits for p in probes if word in p.covers and p.fits] for word in range(words)]
    known = sorted(filter(None, known), key=lambda fits: sum(map(len, fits)))
    if not known:
        return ()
    rarest = chain.from_iterable(known[0])
    rest = known[1:]
    with_all = (i for i in rarest if all(any(i in fits for fits in word) for word in rest))
    found = dict.fromkeys(islice(with_all, limit))
    for fits in chain.from_iterable(known):
        for index in fits:
            if len(found) >= limit:
                return found
            found[index] = None
    return found


def _coverage(index: int, probes: list[_Probe], weights: list[float]) -> float:
    """The share of the query, by weight, that a product's terms account for."""
    best = [0.0] * len(weights)
    for probe in probes:
        fit = probe.fits.get(index)
        if fit is not None:
            for word in probe.covers:
                if fit > best[word]:
                    best[word] = fit
    return sum(map(float.__mul__, best, weights)) / sum(weights)


def _normal(text: str) -> str:
    """Casefolded, without accents, compatibility forms made plain (full-width, superscript)."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", plain))


def _product_terms(product: Product) -> dict[str, float]:
    """The terms of one product, each with the weight of the field it stands in."""
    terms: dict[str, float] = {}
    fields = [(product.category, _CATEGORY), (product.brand, _BRAND)]
    fields += [(text, _NAME) for text in (product.id, *product.aliases, product.name)]
    for text, weight in fields:
        for term in _terms(_normal(text)):
            terms[term] = max(weight, terms.get(term, 0.0))
    return terms


def _terms(text: str) -> set[str]:
    """Words; adjacent words joined; compounds such as td-17kvx whole and their pieces."""
    words = _WORD.findall(text)
    terms = set(words)
    terms.update(a + b for a, b in pairwise(words))
    for chunk in _CHUNK.findall(text):
        inner = _WORD.findall(chunk)
        terms.add("".join(inner))
        for word in inner:
            pieces = _PIECE.findall(word)
            terms.update(piece for piece in pieces if len(piece) > 1 or len(pieces) == 1)
    for word in words:
        if _UNSPACED.search(word):  # scripts without spaces: every suffix, so that prefixes suffice
            terms.update(word[start:] for start in range(len(word)))
    return {term[:_MAX_TERM_CHARS] for term in terms if term}


def _near(text: str, choices: Sequence[str], edits: int) -> list[tuple[str, int]]:
    """Choices within so many edits (a swap is one), nearest first."""
    near = process.extract(
        text, choices, scorer=OSA.distance, score_cutoff=edits, limit=MAX_FUZZY_TERMS
    )
    return [(choice, int(distance)) for choice, distance, _ in near]


def _edits(text: str) -> int:
    """Edits forgiven: none in short words and bare numbers, else one or two."""
    if len(text) < _MIN_FUZZY_CHARS or text.isdecimal():
        return 0
    return 1 if len(text) < 7 else 2


def _digits(text: str) -> str:
    return "".join(_DIGITS.findall(text))
