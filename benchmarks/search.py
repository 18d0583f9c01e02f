"""Product search: time for one keystroke, against plain scans over all names.

Every prefix of every query is one keystroke, as a person typing makes them. The catalogs are made
by rule from a fixed seed: brands, series, model numbers, categories and aliases as dealers list
them. Compared with `rapidfuzz.process.extract(WRatio)` over all names and, where it can be waited
for, `difflib.get_close_matches`. "slower" is the p50 as a multiple of the product search's p50;
"found" counts the fully typed queries for one product that show it among the first 8. The scans
are given fewer queries, since they take so long.
"""

from __future__ import annotations

import argparse
import difflib
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from rapidfuzz import fuzz, process

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


@dataclass(frozen=True)
class Measured:
    """The milliseconds of each keystroke, and how many of the products meant were found."""

    times_ms: list[float]
    found: int
    meant: int


def measure(search: Callable[[str], list[str]], queries: list[Typed]) -> Measured:
    """Type every query, key by key; `search` returns product ids."""
    times, found = [], 0
    for query in queries:
        ids: list[str] = []
        for end in range(1, len(query.text) + 1):
            start = time.perf_counter()
            ids = search(query.text[:end])
            times.append((time.perf_counter() - start) * 1000)
        found += query.product_id in ids
    return Measured(times, found, sum(query.product_id is not None for query in queries))


def row(size: int, what: str, done: Measured, ours_ms: float | None) -> str:
    """Return one line of the table."""
    p50 = statistics.median(done.times_ms)
    p99 = statistics.quantiles(done.times_ms, n=100)[98]
    ratio = f"{p50 / ours_ms:7.0f}x" if ours_ms else "       -"
    found = f"{done.found}/{done.meant}"
    keys = len(done.times_ms)
    return f"{size:>9,}  {what:<28} {keys:>7} {p50:>9.3f} {p99:>9.3f} {ratio} {found:>9}"


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.search")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=120, help="typed queries for each size")
    options = parser.parse_args()
    heads = f"{'search':<28} {'keys':>7} {'p50 ms':>9} {'p99 ms':>9} {'slower':>8} {'found':>9}"
    print(f"{'products':>9}  {heads}")
    for size in options.sizes:
        compare(size, make_catalog(size), options.queries)


def compare(size: int, catalog: Catalog, count: int) -> None:
    """Print the rows of one catalog."""
    queries = make_queries(catalog, count)
    names = {each.id: f"{each.brand} {each.name}".lower() for each in catalog.products}
    ids = {name: id_ for id_, name in names.items()}
    start = time.perf_counter()
    search = ProductSearch(catalog)
    built = (time.perf_counter() - start) * 1000

    def ours(text: str) -> list[str]:
        return [hit.product.id for hit in search.search(text, LIMIT)]

    def scan(text: str) -> list[str]:
        found = process.extract(text.lower(), names, scorer=fuzz.WRatio, limit=LIMIT)
        return [id_ for _, _, id_ in found]

    def close(text: str) -> list[str]:
        return [ids[name] for name in difflib.get_close_matches(text.lower(), ids, LIMIT, 0.3)]

    done = measure(ours, queries)
    p50 = statistics.median(done.times_ms)
    print(row(size, f"ProductSearch (built {built:.0f} ms)", done, None))
    few = queries[: max(10, min(count, 300_000 // size))]
    print(row(size, "rapidfuzz extract, WRatio", measure(scan, few), p50))
    if size <= MAX_DIFFLIB:
        print(row(size, "difflib get_close_matches", measure(close, few[:10]), p50))


if __name__ == "__main__":
    main()
