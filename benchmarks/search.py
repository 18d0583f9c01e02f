"""Product search: time for one keystroke, against plain scans over all names.

Every prefix of every query is one keystroke, as a person typing makes them. The catalogs are made
by rule from a fixed seed: brands, series, model numbers, categories and aliases as dealers list
them. Compared with `rapidfuzz.process.extract(WRatio)` over all names and, where it can be waited
for, `difflib.get_close_matches`.
"""

from __future__ import annotations

import argparse
import difflib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rapidfuzz import fuzz, process

from benchmarks.arguments import Arguments
from benchmarks.harness import percentile
from benchmarks.results import Lines, Measure, Result, refused
from benchmarks.tables import publish
from server.manuals.catalog import Catalog, Product
from server.manuals.search import ProductSearch

BRANDS = ("Korven", "Yamaha", "Korg", "Boss", "Nord", "Moog", "Akai", "Casio", "Kawai", "Alesis")
SERIES = ("TD", "FP", "SP", "RD", "PSR", "DGX", "MPC", "GT", "HX", "DTX", "CN", "ES", "JD", "XPS")
ENDINGS = ("", "", "", "X", "KVX", "E", "mkII", " Pro", " Plus", "-BK", "-WH", "S")
KINDS = (
    "Electronic Drum Kit", "Digital Piano", "Stage Piano", "Synthesizer", "Sampler", "Arranger",
    "Multi-Effects", "Audio Interface", "Guitar Amplifier", "Drum Module", "MIDI Controller",
)  # fmt: skip
WORDED = ("digital piano", "stage paino", "drum modul", "rolnad electronic drum", "midi controler")

OURS, SCAN = "ProductSearch", "rapidfuzz extract, WRatio"
GOAL_MS = 5.0
LIMIT = 8
MAX_DIFFLIB = 10_000  # beyond, one keystroke takes seconds


def make_catalog(size: int) -> Catalog:
    """Return a catalog of `size` products, the same for the same size."""
    dice = random.Random(7)
    products: list[Product] = []
    seen: set[tuple[str, str]] = set()
    while len(products) < size:
        brand, kind = dice.choice(BRANDS), dice.choice(KINDS)
        model = f"{dice.choice(SERIES)}-{dice.randrange(1, 10000)}{dice.choice(ENDINGS)}"
        if (brand, model) in seen:
            continue
        seen.add((brand, model))
        alias = model.replace("-", " ")
        products.append(
            Product(f"p{len(products)}", f"{model} {kind}", brand, kind, aliases=(alias,))
        )
    return Catalog(tuple(products))


@dataclass(frozen=True)
class Typed:
    """A query as a person types it, and the product meant, if it is one product."""

    text: str
    product_id: str | None


def make_queries(catalog: Catalog, count: int) -> list[Typed]:
    """Return queries as people type them: model run together, brand and model, typos, words."""
    dice = random.Random(11)
    queries = [Typed(text, None) for text in WORDED]
    while len(queries) < count:
        product = dice.choice(catalog.products)
        model = product.name.split()[0]
        with_slip = product.brand[:2] + product.brand[3:]
        texts = (
            model.replace("-", "").lower(),
            f"{product.brand} {model}".lower(),
            f"{with_slip} {model.replace('-', ' ')}",
        )
        form = dice.randrange(4)
        if form < len(texts):
            queries.append(Typed(texts[form], product.id))
        else:
            queries.append(Typed(f"{product.category.split()[0]} {product.brand}", None))
    return queries


@dataclass
class Measured:
    """The p50 and p99 of a keystroke in each round, and how many of the products were found."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    found: int = 0
    meant: int = 0

    def take(self, search: Callable[[str], list[str]], queries: list[Typed]) -> None:
        """Type every query once, key by key; `search` returns product ids."""
        times: list[float] = []
        self.found, self.meant = 0, sum(query.product_id is not None for query in queries)
        for query in queries:
            ids: list[str] = []
            for end in range(1, len(query.text) + 1):
                start = time.perf_counter()
                ids = search(query.text[:end])
                times.append((time.perf_counter() - start) * 1000)
            self.found += query.product_id in ids
        self.p50_ms.append(percentile(times, 0.5))
        self.p99_ms.append(percentile(times, 0.99))


def main() -> None:
    """Measure and publish."""
    arguments = Arguments("search", __doc__)
    arguments.size("--sizes", [300, 10_000, 100_000], [300, 10_000], "products")
    arguments.size("--queries", 120, 20, "typed queries for each size")
    arguments.size("--rounds", 3, 1, "times that all are typed")
    options = arguments.parse_args()
    result = Result(
        "search",
        "Catalog search, one keystroke",
        "How long does a keystroke take, against plain scans over all names?",
        [
            Measure("p50", "p50", "ms", ratio=True),
            Measure("p99", "p99", "ms"),
            Measure("found", "found", "%", better="more"),
        ],
        x="products",
        quick=options.quick,
        notes=["Found: of the queries that mean one product, those that show it among 8."],
    )
    for size in options.sizes:
        compare(result, size, make_catalog(size), options)
    if 10_000 in options.sizes:
        result.figure("a keystroke, 10,000 products", OURS, "p99", x=10_000, at_most=GOAL_MS)
        result.figure("half of the keystrokes", OURS, "p50", x=10_000, ratio=True)
    result.plots.append(Lines("p50", log_x=True, log_y=True))
    publish(result)


def compare(result: Result, size: int, catalog: Catalog, options: argparse.Namespace) -> None:
    """Add the rows of one catalog; the scans are given fewer queries, since they take so long."""
    queries = make_queries(catalog, options.queries)
    names = {each.id: f"{each.brand} {each.name}".lower() for each in catalog.products}
    ids = {name: id_ for id_, name in names.items()}
    start = time.perf_counter()
    search = ProductSearch(catalog)
    note = f"built in {(time.perf_counter() - start) * 1000:.0f} ms"

    def ours(text: str) -> list[str]:
        return [hit.product.id for hit in search.search(text, LIMIT)]

    def scan(text: str) -> list[str]:
        found = process.extract(text.lower(), names, scorer=fuzz.WRatio, limit=LIMIT)
        return [id_ for _, _, id_ in found]

    def close(text: str) -> list[str]:
        return [ids[name] for name in difflib.get_close_matches(text.lower(), ids, LIMIT, 0.3)]

    few = queries[: max(10, min(options.queries, 300_000 // size))]
    ways = [(SCAN, scan, few), (OURS, ours, queries)]
    if size <= MAX_DIFFLIB:
        ways.append(("difflib get_close_matches", close, few[:10]))
    done = {name: Measured() for name, _, _ in ways}
    for _ in range(options.rounds):
        for name, way, typed in ways:
            done[name].take(way, typed)
    for name, seen in done.items():
        result.add(
            name,
            x=size,
            baseline=name == SCAN,
            note=note if name == OURS else "",
            p50=seen.p50_ms,
            p99=seen.p99_ms,
            found=100 * seen.found / seen.meant if seen.meant else refused("no product was meant"),
        )


if __name__ == "__main__":
    main()
