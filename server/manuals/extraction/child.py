"""The child process: reads one manual from standard input, writes its pages, and ends."""

from __future__ import annotations

import logging
import os
import sys
from typing import BinaryIO

import orjson

from server.manuals.documents import ManualError
from server.manuals.extraction import sandbox
from server.manuals.extraction.pdf import read_pdf
from server.manuals.extraction.plain import read_markdown, read_text
from server.manuals.extraction.results import FRAME_HEAD, Job, Result, Results, frame
from server.manuals.extraction.web_page import read_html

_READERS = {"pdf": read_pdf, "html": read_html, "text": read_text, "markdown": read_markdown}


def main() -> None:
    """Serve one manual. Started before there is one, so that nobody waits for the imports."""
    logging.disable()
    source = sys.stdin.buffer
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the frames
    head = source.read(FRAME_HEAD.size)
    if len(head) < FRAME_HEAD.size:
        return  # not needed any more
    job = Job(**orjson.loads(source.read(*FRAME_HEAD.unpack(head))))
    sandbox.limit(cpu_s=job.cpu_s, memory_bytes=job.memory_bytes)
    sandbox.enter()
    data = source.read(job.size)
    if len(data) == job.size:
        _serve(data, job, output)
    # Nothing is left to be tidied up, and a damaged document's objects may fail at it.
    os._exit(0)


def _serve(data: bytes, job: Job, output: BinaryIO) -> None:
    try:
        for result in _limited(_READERS[job.kind](data, job.max_pages), job.max_chars):
            output.write(frame(result))
            output.flush()
        last = Result(end=True)
    except ManualError as error:
        last = Result(problem=error.problem, message=str(error), end=True)
    except (Exception, RecursionError, MemoryError):  # noqa: BLE001 - whatever a file can cause
        last = Result(
            problem="damaged", message="The manual cannot be read: export it again.", end=True
        )
    output.write(frame(last))
    output.flush()


def _limited(results: Results, max_chars: int) -> Results:
    left = max_chars
    for result in results:
        left -= len(result.page or "")
        if left < 0:
            raise ManualError(
                "too_large",
                f"The manual holds more than {max_chars} characters: split it (max_manual_chars).",
            )
        yield result
