"""The first question on a manual against the second: what the caches are worth.

A PDF of many pages is made from generated text. Each round starts a server that has never seen it,
asks it twice (different questions, so that no answer is reused), and restarts it on the same Redis,
where the third question finds the text but not the index.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from benchmarks.harness import ROOT, ask, connect, print_table, running, server

WORDS_A_LINE, LINES_A_PAGE = 12, 38


def write_manual(path: Path, pages: int) -> None:
    """Write a PDF of `pages` pages of words drawn from the demo manuals."""
    sources = sorted((ROOT / "server" / "demo" / "manuals").glob("*.md"))
    words = " ".join(source.read_text() for source in sources).split()
    dice = random.Random(pages)
    canvas = Canvas(str(path), pagesize=A4, invariant=True)
    for page in range(1, pages + 1):
        canvas.bookmarkPage(f"p{page}")
        canvas.addOutlineEntry(f"Section {page}", f"p{page}")
        text = canvas.beginText(50, 800)
        text.textLine(f"Section {page}")
        for _ in range(LINES_A_PAGE):
            text.textLine(" ".join(dice.choices(words, k=WORDS_A_LINE)))
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()


async def ask_once(url: str, product_id: str, question: str) -> float:
    """Return the seconds to the first delta over a connection of its own."""
    async with connect(url) as socket:
        return await ask(socket, product_id, question)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, nargs="+", default=[30, 300], help="manual sizes")
    parser.add_argument("--rounds", type=int, default=5, help="servers started per size")
    options = parser.parse_args()
    redis = shutil.which("redis-server")
    if redis is None:
        raise SystemExit("needs redis-server on the PATH (Debian: apt install redis-server)")

    rows: list[list[str]] = []
    for pages in options.pages:
        measured: dict[str, list[float]] = {"first": [], "second": [], "after a restart": []}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                manuals = Path(folder, "manuals")
                manuals.mkdir()
                write_manual(manuals / "manual.pdf", pages)
                port = 20_000 + random.randrange(20_000)
                command = [redis, "--port", str(port), "--save", "", "--dir", folder]
                with running(command, "Ready to accept connections"):
                    common = {
                        "manuals": str(manuals),
                        "warm_manuals": "0",
                        "cache_url": f"redis://127.0.0.1:{port}",
                    }
                    with server("extractive", **common) as url:
                        for name, question in (
                            ("first", "How do I reset the module?"),
                            ("second", "Which cable does the trigger input need?"),
                        ):
                            measured[name].append(asyncio.run(ask_once(url, "manual", question)))
                    with server("extractive", **common) as url:
                        again = ask_once(url, "manual", "How is the firmware updated?")
                        measured["after a restart"].append(asyncio.run(again))
        base = statistics.median(measured["first"])
        for name, values in measured.items():
            median = statistics.median(values)
            rows.append(
                [
                    f"{pages} pages, {name}",
                    f"{median * 1000:.1f}",
                    f"{min(values) * 1000:.1f}",
                    f"{max(values) * 1000:.1f}",
                    f"{base / median:.1f}x",
                ]
            )
    print_table(
        "Time to the first token, ms",
        ["question", "median", "min", "max", "faster than the first"],
        rows,
    )


if __name__ == "__main__":
    main()
