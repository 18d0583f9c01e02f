"""The child's main program: read a request, enter the sandbox, read the manual, tell."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from server.manuals.documents import ManualError
from server.manuals.extraction import html, pdf, plain, sandbox
from server.manuals.extraction.frames import read_request, write
from server.manuals.extraction.reading import Sink

READERS: dict[str, Callable[[bytes, Sink], None]] = {
    "pdf": pdf.read,
    "html": html.read,
    "markdown": plain.read_markdown,
    "text": plain.read_text,
}


def main() -> None:
    """Serve one request on standard input and output."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between our frames
    request, data = read_request(sys.stdin.buffer)
    sandbox.limit_resources(cpu_s=request["cpu_s"], memory_bytes=request["memory_bytes"])
    sandbox.enter()
    answer(request, data, output)


def answer(request: dict[str, Any], data: bytes, output: BinaryIO) -> None:
    """Read `data` and write what is found."""
    sink = Sink(
        on_page=lambda text, done, total: write(output, {"page": text, "total": total}),
        on_restart=lambda: write(output, {"restart": True}),
        max_pages=request["max_pages"],
        max_chars=request["max_chars"],
    )
    try:
        READERS[request["kind"]](data, sink)
    except ManualError as error:
        write(output, {"problem": error.problem, "message": str(error)})
    except MemoryError:
        write(output, {"problem": "damaged", "message": "Reading the manual takes too much memory"})
    except Exception as error:  # noqa: BLE001 - the parent must learn of it in a frame
        write(
            output, {"problem": "damaged", "message": f"It cannot be read ({type(error).__name__})"}
        )
    else:
        outline = [[entry.title, entry.page, entry.level] for entry in sink.outline]
        write(output, {"end": True, "title": sink.title, "outline": outline})
