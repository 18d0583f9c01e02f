"""Pages per second of PDF extraction: pypdf alone, PDFium alone, and the server's child pool.

Needs PDFs in benchmarks/data (`make bench-data`). Sorted by size, every nth is taken so that
`--documents` are read. The ratio is the pool against pypdf. The last row adds up the documents that
all three read; the pool also normalises, cuts and reads the outline, and starts its children.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pypdf
import pypdfium2 as pdfium

from benchmarks.harness import print_table
from server.manuals.documents import ManualError
from server.manuals.extract import Extractor

DATA = Path(__file__).parent / "data"
MEMORY_BYTES = 1536 * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="where the PDFs are")
    parser.add_argument("--documents", type=int, default=15, help="how many are read (15)")
    parser.add_argument("--processes", type=int, default=2, help="children at the same time (2)")
    parser.add_argument("--max-pages", type=int, default=400, help="leave out longer ones (400)")
    given = parser.parse_args()
    logging.disable()  # pypdf tells of every font
    paths = chosen(given.folder, given.documents, given.max_pages)
    if not paths:
        sys.exit(f"No PDFs in {given.folder}: run `make bench-data` first (needs Debian).")
    rows = []
    in_all = [0.0, 0.0, 0.0, 0.0]
    for path in paths:
        data = path.read_bytes()
        pages, first = timed(with_pypdf, data)
        _, second = timed(with_pdfium, data)
        third, problem = asyncio.run(through_pool([data], given.processes))
        rows.append(row(path.stem[:48], pages, first, second, third, problem))
        if not problem and pages:
            for index, value in enumerate((float(pages), first, second, third)):
                in_all[index] += value
    rows.append(row("in all, one by one", int(in_all[0]), *in_all[1:], ""))
    everything, problem = asyncio.run(
        through_pool([path.read_bytes() for path in paths], given.processes)
    )
    name = f"in all, {given.processes} at once"
    rows.append(row(name, int(in_all[0]), in_all[1], in_all[2], everything, problem))
    columns = ("document", "pages", "pypdf p/s", "PDFium p/s", "pool p/s", "pool : pypdf")
    print_table("PDF extraction, pages per second", columns, rows)


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


def row(name: str, pages: int, *rest: float | str) -> list[str]:
    first, second, third, problem = (*map(float, rest[:3]), str(rest[3]))
    rates = [f"{pages / seconds:.0f}" if seconds else "-" for seconds in (first, second, third)]
    ratio = problem or (f"{first / third:.1f}" if third else "-")
    return [name, str(pages), *rates, ratio]


if __name__ == "__main__":
    main()
