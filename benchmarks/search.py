"""Product search: time for one keystroke, against plain scans over all names.

Every prefix of every query is one keystroke, as a person typing makes them. The catalogs are made
by rule from a fixed seed: brands, series, model numbers, categories and aliases as dealers list
them. Compared with `rapidfuzz.process.extract(WRatio)` over all names and, where it can be waited
for, `difflib.get_close_matches`. "slower" is the p50 as a multiple of the product search's p50.
"""

from __future__ import annotations

import argparse
import difflib
import random
import statistics
import time
from collections.abc import Callable, Iterator

from rapidfuzz import fuzz, process

from server.manuals.catalog import Catalog, Product
from server.manuals.search import ProductSearch

BRANDS = ("Roland", "Yamaha", "Korg", "Boss", "Nord", "Moog", "Akai", "Casio", "Kawai", "Alesis")
SERIES = ("TD", "FP", "SP", "RD", "PSR", "DGX", "MPC", "GT", "HX", "DTX", "CN", "ES", "JD", "XPS")
ENDINGS = ("", "", "", "X", "KVX", "E", "mkII", " Pro", " Plus", "-BK", "-WH", "S")
KINDS = (
    "Electronic Drum Kit", "Digital Piano", "Stage Piano", "Synthesizer", "Sampler", "Arranger",
    "Multi-Effects", "Audio Interface", "Guitar Amplifier", "Drum Module", "MIDI Controller",
)  # fmt: skip
WORDED = ("digital piano", "stage paino", "drum modul", "rolnad electronic drum", "midi controler")


def make_catalog(size: int) -> Catalog:
    """Return a catalog of `size` products, the same for the same size."""
    dice = random.Random(7)
    products, seen = [], set()
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


def make_queries(catalog: Catalog, count: int) -> list[str]:
    """Return queries as people type them: model run together, brand and model, typos, words."""
    dice = random.Random(11)
    queries = list(WORDED)
    while len(queries) < count:
        product = dice.choice(catalog.products)
        model = product.name.split()[0]
        form = dice.randrange(4)
        if form == 0:
            queries.append(model.replace("-", "").lower())
        elif form == 1:
            queries.append(f"{product.brand} {model}".lower())
        elif form == 2:
            queries.append(f"{product.brand[:2]}{product.brand[3:]} {model.replace('-', ' ')}")
        else:
            queries.append(f"{product.category.split()[0]} {product.brand}")
    return queries


def keystrokes(queries: list[str]) -> Iterator[str]:
    """Yield every prefix of every query."""
    for query in queries:
        for end in range(1, len(query) + 1):
            yield query[:end]


def measure(search: Callable[[str], object], queries: list[str]) -> list[float]:
    """Return the milliseconds of each keystroke."""
    times = []
    for text in keystrokes(queries):
        start = time.perf_counter()
        search(text)
        times.append((time.perf_counter() - start) * 1000)
    return times


def row(size: int, what: str, times: list[float], ours: float | None) -> str:
    """Return one line of the table."""
    p50 = statistics.median(times)
    p99 = statistics.quantiles(times, n=100)[98]
    ratio = f"{p50 / ours:8.0f}x" if ours else "        -"
    return f"{size:>9,}  {what:<28} {len(times):>7} {p50:>10.3f} {p99:>10.3f} {ratio}"


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.search")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=120, help="typed queries for each size")
    options = parser.parse_args()
    print(
        f"{'products':>9}  {'search':<28} {'keys':>7} {'p50 ms':>10} {'p99 ms':>10} {'slower':>9}"
    )
    for size in options.sizes:
        catalog = make_catalog(size)
        queries = make_queries(catalog, options.queries)
        names = [f"{product.brand} {product.name}".lower() for product in catalog.products]
        start = time.perf_counter()
        search = ProductSearch(catalog)
        built = (time.perf_counter() - start) * 1000
        times = measure(lambda text, s=search: s.search(text, 8), queries)
        ours = statistics.median(times)
        print(row(size, f"ProductSearch (built {built:.0f} ms)", times, None))

        def scan(text: str, names: list[str] = names) -> object:
            return process.extract(text.lower(), names, scorer=fuzz.WRatio, limit=8)

        few = queries[: max(3, min(len(queries), 300_000 // size))]
        print(row(size, "rapidfuzz extract, WRatio", measure(scan, few), ours))
        if size <= 10_000:

            def close(text: str, names: list[str] = names) -> object:
                return difflib.get_close_matches(text.lower(), names, 8, 0.3)

            print(row(size, "difflib get_close_matches", measure(close, few[:3]), ours))


if __name__ == "__main__":
    main()
