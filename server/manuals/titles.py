"""Titles of PDF files, read in a child process, so that a hostile file harms nobody but the child.

The child is this file run as a program: it imports nothing of the project, lives under limits of
memory and processor time, and is killed by its own alarm when one file takes too long. The parent
then goes on with the files after the bad one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

FILE_TIMEOUT_S: Final = 2.0
"""A title takes some milliseconds; a file that takes this long keeps its file name."""
CHILD_MEMORY_BYTES: Final = 1024 * 2**20
TOTAL_TIMEOUT_S: Final = 20.0
"""After this the rest keep their file names: a start must not wait longer for niceties."""


def read_titles(
    paths: Sequence[Path],
    *,
    file_timeout_s: float = FILE_TIMEOUT_S,
    total_timeout_s: float = TOTAL_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> dict[Path, str]:
    """Return the title in the metadata of each PDF that has one. Never raises for a file."""
    titles: dict[Path, str] = {}
    rest = list(paths)
    end = clock() + total_timeout_s
    while rest and (left := end - clock()) > 0:
        answers = _ask_child(rest, file_timeout_s, left)
        titles.update((path, title) for path, title in zip(rest, answers, strict=False) if title)
        rest = rest[len(answers) + 1 :]  # the file the child died of is left out
    return titles


def _ask_child(paths: Sequence[Path], file_timeout_s: float, timeout_s: float) -> list[str]:
    command = [sys.executable, "-P", str(Path(__file__)), str(file_timeout_s)]
    try:
        done = subprocess.run(  # noqa: S603 - our own file and interpreter
            command,
            input="\0".join(map(str, paths)).encode("utf-8", "surrogateescape"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    except OSError:
        return [""] * len(paths)
    lines = output.splitlines(keepends=True)
    return [str(json.loads(line)) for line in lines if line.endswith(b"\n")]


def main() -> None:
    """Read paths from standard input, write one JSON string a line: the title or nothing."""
    timeout_s = float(sys.argv[1])
    paths = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\0")
    import pypdf  # noqa: F401 - so that no file's time is spent on it

    _limit_memory()
    logging.disable()
    for path in paths:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)  # unhandled: the alarm ends the process
        line = json.dumps(_title(path)) + "\n"
        sys.stdout.write(line)
        sys.stdout.flush()


def _limit_memory() -> None:
    import resource

    with contextlib.suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))


def _title(path: str) -> str:
    from pypdf import PdfReader

    try:
        with Path(path).open("rb") as file:
            metadata: Any = PdfReader(file, strict=True).metadata
            title = metadata.title if metadata else None
        return title[:1000] if isinstance(title, str) else ""
    except (Exception, RecursionError):  # noqa: BLE001 - any fault of a file means no title
        return ""


if __name__ == "__main__":
    main()
