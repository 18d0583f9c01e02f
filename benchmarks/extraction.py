"""Pages per second of PDF extraction: pypdf alone, PDFium alone, and the server's child pool.

Reads the PDFs in benchmarks/data (`make bench-data`), else the demo manuals. Sorted by size, every
nth is taken so that `--documents` are read. "In all" adds up the documents that all three read; the
pool also normalises, cuts and reads the outline, and starts its children.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pypdf
import pypdfium2 as pdfium

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Measure, Result, refused
from benchmarks.tables import publish
from server.manuals.documents import ManualError
from server.manuals.extract import Extractor

DATA = Path(__file__).parent / "data"
DEMO = Path(__file__).parents[1] / "server" / "demo" / "manuals"
MEMORY_BYTES = 1536 * 2**20


PYPDF, PDFIUM, POOL = "pypdf", "PDFium", "the pool"
WHOLE = "in all"


def main() -> None:
    arguments = Arguments("extraction", __doc__)
    arguments.add_argument("--folder", type=Path, help="of PDFs (benchmarks/data or the demo's)")
    arguments.size("--documents", 15, 3, "how many are read")
    arguments.size("--processes", 2, 2, "children at the same time")
    arguments.size("--max-pages", 400, 60, "leave out longer ones")
    arguments.size("--rounds", 3, 1, "times that all are read")
    options = arguments.parse_args()
    logging.disable()  # pypdf tells of every font
    folder = options.folder or (DATA if any(DATA.glob("*.pdf")) else DEMO)
    paths = chosen(folder, options.documents, options.max_pages)
    if not paths:
        print(f"No PDFs in {folder}, so nothing was measured.")
        return
    result = Result(
        "extraction",
        "PDF extraction",
        "How many pages a second does the server's pool read, against pypdf?",
        [Measure("rate", "pages a second", ratio=True, better="more"), Measure("pages", "pages")],
        quick=options.quick,
        notes=["Of the demo manuals only: `make bench-data` fetches more."]
        if folder == DEMO
        else [],
    )
    compare(result, paths, options)
    everything = f"{options.processes} at once, {POOL}"
    result.figure("pages a second, one by one", POOL, "rate", group=WHOLE, ratio=True)
    result.figure("pages a second, in parallel", everything, "rate", group=WHOLE)
    result.plots.append(Bars("rate", log=True))
    publish(result)


def compare(result: Result, paths: list[Path], options: argparse.Namespace) -> None:
    """Add the rows of each document, and those of all that the three ways read."""
    all_pages, in_all = 0, {name: [0.0] * options.rounds for name in (PYPDF, PDFIUM, POOL)}
    for path in paths:
        data = path.read_bytes()
        took: dict[str, list[float]] = {PYPDF: [], PDFIUM: [], POOL: []}
        problem = ""
        for _ in range(options.rounds):
            pages, seconds = timed(with_pypdf, data)
            took[PYPDF].append(seconds)
            took[PDFIUM].append(timed(with_pdfium, data)[1])
            seconds, problem = asyncio.run(through_pool([data], options.processes))
            took[POOL].append(seconds)
        for name, values in took.items():
            rates = [pages / value for value in values]
            given = refused(problem) if problem and name == POOL else rates
            result.add(name, group=path.stem[:48], baseline=name == PYPDF, rate=given, pages=pages)
        if not problem:
            all_pages += pages
            for name, values in took.items():
                in_all[name] = list(map(sum, zip(in_all[name], values, strict=True)))
    for name, values in in_all.items():
        rates = [all_pages / value for value in values if value]
        result.add(name, group=WHOLE, baseline=name == PYPDF, rate=rates or None, pages=all_pages)
    whole = [path.read_bytes() for path in paths]
    done = [asyncio.run(through_pool(whole, options.processes)) for _ in range(options.rounds)]
    result.add(
        f"{options.processes} at once, {POOL}",
        group=WHOLE,
        rate=[all_pages / seconds for seconds, _ in done],
        pages=all_pages,
        note=done[0][1],
    )


def chosen(folder: Path, documents: int, max_pages: int) -> list[Path]:
    """Return documents spread over the sizes that there are."""
    paths = sorted(folder.glob("*.pdf"), key=lambda path: (path.stat().st_size, path.name))
    short = [path for path in paths if 1 < length(path) <= max_pages]
    step = max(1, len(short) // max(1, documents))
    return short[step // 2 :: step][:documents]


def length(path: Path) -> int:
    try:
        with pdfium.PdfDocument(path) as document:
            return len(document)
    except pdfium.PdfiumError:
        return 0


def timed(read: Callable[[bytes], int], data: bytes) -> tuple[int, float]:
    """Return pages and seconds."""
    started = time.perf_counter()
    pages = read(data)
    return pages, time.perf_counter() - started


def with_pypdf(data: bytes) -> int:
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    for page in pages:
        try:
            page.extract_text()
        except Exception:  # a page that it cannot read counts as read
            continue
    return len(pages)


def with_pdfium(data: bytes) -> int:
    with pdfium.PdfDocument(data) as document:
        for page in document:
            page.get_textpage().get_text_range()
        return len(document)


async def through_pool(documents: list[bytes], processes: int) -> tuple[float, str]:
    """Return seconds, and the problem of the last document that failed, if any.

    One small reading beforehand, so that a child waits as in a running server.
    """
    extractor = Extractor(
        processes=processes,
        cpu_s=120,
        wall_s=300,
        memory_bytes=MEMORY_BYTES,
        max_pages=10_000,
        max_chars=20_000_000,
    )
    await extractor.extract(b"warm", "text", lambda done, total: None)
    await asyncio.sleep(0.5)
    problems: list[str] = []

    async def one(data: bytes) -> None:
        try:
            await extractor.extract(data, "pdf", lambda done, total: None)
        except ManualError as error:
            problems.append(error.problem)

    started = time.perf_counter()
    await asyncio.gather(*map(one, documents))
    seconds = time.perf_counter() - started
    await extractor.aclose()
    return seconds, problems[-1] if problems else ""


if __name__ == "__main__":
    main()
