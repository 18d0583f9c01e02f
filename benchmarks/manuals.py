"""From the question to the first token, for manuals of 30, 300 and 1,000 pages behind HTTP.

A PDF is made from generated text and served by a web server of its own on core 1. Each round
starts a server on core 0 that has never seen it, and asks twice with different questions, so that
no answer is reused: cold (fetch, extract, index) and warm. Then it starts another on the same
Redis, which finds the text there, but no index. The model is the built-in one, which answers at
once.

The alternative fetches the PDF and reads all of its text with pypdf at every question, and stops
there: what it would send to a model and how long that takes is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pypdf
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from benchmarks.arguments import Arguments
from benchmarks.harness import ROOT, ask, connect, running, server
from benchmarks.results import Lines, Measure, Result
from benchmarks.services import Redis, redis_server
from benchmarks.tables import publish

PRODUCT = """
[[product]]
id = "manual"
name = "Manual"
brand = "Brand"
manual = {{ url = "{url}" }}
"""
WORDS_A_TITLE, WORDS_A_LINE, LINES_A_PAGE = 4, 12, 38
SERVER_CORE, OTHER_CORE = 0, 1
PYPDF, COLD, RESTARTED, WARM = (
    "pypdf at every question", "cold", "after a restart, text in Redis", "warm",
)  # fmt: skip


def write_manual(path: Path, pages: int) -> None:
    """Write a PDF of `pages` pages of words drawn from the demo manuals."""
    sources = sorted((ROOT / "server" / "demo" / "manuals").glob("*.md"))
    words = " ".join(source.read_text() for source in sources).split()
    dice = random.Random(pages)
    canvas = Canvas(str(path), pagesize=A4, invariant=True)
    for page in range(1, pages + 1):
        title = f"{page} {' '.join(dice.choices(words, k=WORDS_A_TITLE))}"
        canvas.bookmarkPage(f"p{page}")
        canvas.addOutlineEntry(title, f"p{page}")
        text = canvas.beginText(50, 800)
        text.textLine(title)
        for _ in range(LINES_A_PAGE):
            text.textLine(" ".join(dice.choices(words, k=WORDS_A_LINE)))
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()


@contextmanager
def served(pages: int) -> Iterator[str]:
    """Serve a manual over HTTP; give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        write_manual(Path(folder, "manual.pdf"), pages)
        command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
        command += ["--directory", folder]
        with running(command, r"http://[\d.]+:\d+", OTHER_CORE) as address:
            yield f"{address}/manual.pdf"


def read_all(url: str) -> float:
    """Fetch a manual and read all of its text, on the server's core; return the seconds."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        started = time.perf_counter()
        data = httpx.get(url, trust_env=False).content
        text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
        assert text
        return time.perf_counter() - started
    finally:
        os.sched_setaffinity(0, before)


async def ask_once(url: str, question: str) -> float:
    """Return the seconds to the first delta over a connection of its own."""
    async with connect(url) as socket:
        return await ask(socket, "manual", question)


def one_round(url: str, redis: Redis) -> dict[str, float]:
    """Return the seconds of each way; the Redis has to be empty."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder, "catalog.toml")
        catalog.write_text(PRODUCT.format(url=url))
        settings = {
            "catalog": str(catalog),
            "cache_url": redis.url,
            "warm_manuals": "0",
            "allow_http": "true",
            "allow_private_addresses": "true",
        }
        took = {PYPDF: read_all(url)}
        with server("extractive", core=SERVER_CORE, **settings) as socket:
            took[COLD] = asyncio.run(ask_once(socket, "How do I reset the module?"))
            took[WARM] = asyncio.run(ask_once(socket, "Which cable does the input need?"))
        with server("extractive", core=SERVER_CORE, **settings) as socket:
            took[RESTARTED] = asyncio.run(ask_once(socket, "How is the firmware updated?"))
    return took


def main() -> None:
    """Measure and publish."""
    arguments = Arguments("manuals", __doc__)
    arguments.size("--pages", [30, 300, 1000], [30, 100], "manual sizes")
    arguments.size("--rounds", 3, 1, "servers started per size")
    options = arguments.parse_args()
    logging.disable()  # pypdf tells of every font
    os.sched_setaffinity(0, {OTHER_CORE})
    result = Result(
        "manuals",
        "From the question to the first token",
        "How long does a question take on a manual that is new, known, or prepared?",
        [Measure("ms", "first token", "ms", ratio=True)],
        x="pages",
        quick=options.quick,
        notes=["The server and pypdf run on core 0; the load and the source of the PDF on core 1."],
    )
    measure(result, options)
    most = max(options.pages)
    for label in (COLD, RESTARTED, WARM):
        result.figure(f"{most:,} pages, {label}", label, "ms", x=most, ratio=True)
    result.plots.append(Lines("ms", log_x=True, log_y=True))
    publish(result)


def measure(result: Result, options: argparse.Namespace) -> None:
    """Add the rows of each size."""
    for pages in options.pages:
        rounds = []
        with served(pages) as url:
            for _ in range(options.rounds):
                with redis_server() as redis:
                    rounds.append(one_round(url, redis))
        for label in (PYPDF, COLD, RESTARTED, WARM):
            values = [took[label] * 1000 for took in rounds]
            result.add(label, x=pages, baseline=label == PYPDF, ms=values)


if __name__ == "__main__":
    main()
