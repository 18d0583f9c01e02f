"""Product search while typing: fuzzy, tolerant of typos, word order and how model names are spelt.

    search = ProductSearch(catalog)
    search.search("td17", 8)      # finds "TD-17"

Names, brands, aliases, ids and categories are cut into terms once. A keystroke looks up the terms
that a query word equals, begins or nearly spells, gathers the products that have them from the
rarest word on, and scores only those. The work for one keystroke is bounded by named limits, not
by the size of the catalog.
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
from itertools import pairwise
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
MAX_CANDIDATES: Final = 2000
"""Products gathered before scoring; common words only rank what rarer words found."""
MAX_REFINED: Final = 64
"""Best candidates whose whole name is compared with the whole query."""
CACHED_PROBES: Final = 4096
"""Query words remembered with their terms; while typing, all words but the last repeat."""

_EXACT, _PREFIX, _FUZZY = 1.0, 0.86, 0.9
_NAME, _BRAND, _CATEGORY = 1.0, 0.95, 0.8
_UNKNOWN: Final = 0.4
_REFINE_SHARE: Final = 0.15
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
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
    """A query word, or two adjacent ones joined, and the query words that a match accounts for."""

    text: str
    covers: tuple[int, ...]


class ProductSearch:
    """An index over one catalog. Building takes about 20 µs a product; it never changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._products = catalog.products
        self._names = [_normal(f"{p.brand} {p.name}") for p in self._products]
        self._terms_of: list[dict[str, float]] = [_product_terms(p) for p in self._products]
        self._postings: dict[str, list[int]] = defaultdict(list)
        for index, terms in enumerate(self._terms_of):
            for term in terms:
                self._postings[term].append(index)
        self._sorted = sorted(self._postings)
        self._by_length: dict[int, list[str]] = defaultdict(list)
        self._beginnings: dict[int, list[str]] = defaultdict(list)
        previous = ""
        for term in self._sorted:
            self._by_length[len(term)].append(term)
            for length in range(_MIN_FUZZY_CHARS, min(len(term) - 1, _MAX_FUZZY_PREFIX) + 1):
                if term[:length] != previous[:length]:
                    self._beginnings[length].append(term[:length])
            previous = term
        self._cache: OrderedDict[str, Mapping[str, float]] = OrderedDict()

    def search(self, query: str, limit: int) -> list[Hit]:
        """Return at most `limit` products, best first, each once, none under `SCORE_FLOOR`."""
        normal = _normal(query[:MAX_QUERY_CHARS])
        words = _WORD.findall(normal)[:MAX_QUERY_WORDS]
        if not words or limit < 1:
            return []
        probes = [(probe, self._terms_for(probe.text)) for probe in _probes(words)]
        candidates = self._gather(probes)
        weights = self._weights(words, probes)
        coarse = ((self._coverage(i, probes, weights), -i) for i in candidates)
        best = heapq.nlargest(max(MAX_REFINED, limit), coarse)
        joined = " ".join(words)
        scored = sorted(
            ((self._refine(joined, -negative, score), negative) for score, negative in best),
            reverse=True,
        )
        return [
            Hit(self._products[-negative], round(score, 4))
            for score, negative in scored[:limit]
            if score >= SCORE_FLOOR
        ]

    def _terms_for(self, text: str) -> Mapping[str, float]:
        """Terms of the catalog that a query word may mean, with how well each fits."""
        cached = self._cache.get(text)
        if cached is not None:
            self._cache.move_to_end(text)
            return cached
        found = self._similar(text)
        for term in self._beginning_with(text):
            fit = _EXACT if term == text else _PREFIX + (1 - _PREFIX) * len(text) / len(term)
            found[term] = max(fit, found.get(term, 0.0))
        self._cache[text] = found
        if len(self._cache) > CACHED_PROBES:
            self._cache.popitem(last=False)
        return found

    def _beginning_with(self, text: str) -> Iterable[str]:
        low = bisect_left(self._sorted, text)
        high = bisect_right(self._sorted, text + "\U0010ffff")
        if high - low <= MAX_PREFIX_TERMS:
            return self._sorted[low:high]
        return heapq.nsmallest(MAX_PREFIX_TERMS, self._sorted[low:high], key=len)

    def _similar(self, text: str) -> dict[str, float]:
        """Terms within one edit (four to six characters) or two; a digit is not a typo."""
        edits = _edits(text)
        if not edits:
            return {}
        found: dict[str, float] = {}
        for start, distance in _near(text, self._beginnings.get(len(text), ()), 1):
            for term in self._beginning_with(start):
                fit = _FUZZY * _PREFIX * (1 - distance / len(text))
                found[term] = max(fit, found.get(term, 0.0))
        for length in range(len(text) - edits, len(text) + edits + 1):
            for term, distance in _near(text, self._by_length.get(length, ()), edits):
                fit = _FUZZY * (1 - distance / max(len(term), len(text)))
                found[term] = max(fit, found.get(term, 0.0))
        return found

    def _gather(self, probes: list[tuple[_Probe, Mapping[str, float]]]) -> set[int]:
        """Products that have a term of the query: from the rarest probe on, until enough."""
        sized = sorted(
            (sum(len(self._postings[term]) for term in terms), number)
            for number, (_, terms) in enumerate(probes)
            if terms
        )
        candidates: set[int] = set()
        for _, number in sized:
            terms = probes[number][1]
            for term in sorted(terms, key=lambda term: -terms[term]):
                room = MAX_CANDIDATES - len(candidates)
                if room <= 0:
                    return candidates
                candidates.update(self._postings[term][:room])
        return candidates

    def _weights(
        self, words: list[str], probes: list[tuple[_Probe, Mapping[str, float]]]
    ) -> list[float]:
        """How much each query word counts: rare words more, unknown words little."""
        total = math.log(len(self._products) + 1) or 1.0
        weights = [_UNKNOWN] * len(words)
        for probe, terms in probes:
            if len(probe.covers) == 1 and terms:
                uses = max(len(self._postings[term]) for term in terms)
                weights[probe.covers[0]] = 0.5 + 1 - math.log(uses + 1) / (total + 1)
        return weights

    def _coverage(
        self,
        index: int,
        probes: list[tuple[_Probe, Mapping[str, float]]],
        weights: list[float],
    ) -> float:
        """The share of the query, by weight, that the product's terms account for."""
        own = self._terms_of[index]
        fits = [0.0] * len(weights)
        for probe, terms in probes:
            small, large = (own, terms) if len(own) < len(terms) else (terms, own)
            fit = max((own[term] * terms[term] for term in small if term in large), default=0.0)
            for word in probe.covers:
                fits[word] = max(fits[word], fit)
        return sum(map(float.__mul__, fits, weights)) / sum(weights)

    def _refine(self, query: str, index: int, coverage: float) -> float:
        likeness = fuzz.ratio(query, self._names[index]) / 100
        product = self._products[index]
        likeness = max(likeness, fuzz.ratio(query, _normal(product.name)) / 100)
        return (1 - _REFINE_SHARE) * coverage + _REFINE_SHARE * likeness


def _normal(text: str) -> str:
    """Casefolded, without accents, compatibility forms made plain (full-width, superscript)."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", plain))


def _probes(words: list[str]) -> list[_Probe]:
    """Each word, and adjacent words joined: "td 17" is also "td17"."""
    single = [_Probe(word, (number,)) for number, word in enumerate(words)]
    pairs = [
        _Probe(words[n] + words[n + 1], (n, n + 1))
        for n in range(len(words) - 1)
        if len(words[n]) + len(words[n + 1]) <= _MAX_TERM_CHARS
    ]
    triples = [
        _Probe("".join(words[n : n + 3]), (n, n + 1, n + 2))
        for n in range(len(words) - 2)
        if sum(map(len, words[n : n + 3])) <= _MAX_TERM_CHARS
    ]
    return single + pairs + triples


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
    """Choices within so many edits (a swap is one), with the same digits, nearest first."""
    near = process.extract(
        text, choices, scorer=OSA.distance, score_cutoff=edits, limit=MAX_FUZZY_TERMS
    )
    digits = _digits(text)
    return [(choice, int(distance)) for choice, distance, _ in near if _digits(choice) == digits]


def _edits(text: str) -> int:
    """Edits forgiven: none in short words and bare numbers, else one or two."""
    if len(text) < _MIN_FUZZY_CHARS or text.isdecimal():
        return 0
    return 1 if len(text) < 7 else 2


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())
