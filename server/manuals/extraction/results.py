"""What the readers of one manual yield, its limits, and the frames that carry it to the parent."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

import msgspec
import orjson

from server.manuals.documents import ManualError, ManualProblem

MAX_OUTLINE: Final = 5_000
"""Entries of an outline that are kept: a hostile one has millions."""
MAX_TITLE_CHARS: Final = 300
FRAME_HEAD: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Job:
    """The first frame on the child's standard input; `size` bytes of the manual follow it."""

    kind: str
    size: int
    cpu_s: int
    memory_bytes: int
    max_pages: int
    max_chars: int


@dataclass(slots=True)
class Result:
    """One frame of the child's output: a page, or what else is known; `end` is the last one."""

    page: str | None = None
    pages_total: int | None = None
    title: str = ""
    outline: list[tuple[str, int, int]] = field(default_factory=list)
    problem: ManualProblem | None = None
    message: str = ""
    end: bool = False


Results = Iterator[Result]


def frame(value: Job | Result) -> bytes:
    """Return a value as it stands in a pipe: length in four bytes, then JSON."""
    fields = asdict(value)
    if isinstance(value, Result):
        fields = {name: held for name, held in fields.items() if held}
        if value.page is not None:
            fields["page"] = value.page
    body = orjson.dumps(fields)
    return FRAME_HEAD.pack(len(body)) + body


def result_of(body: bytes) -> Result:
    """Return the result in a frame's body; raises `msgspec.MsgspecError` for any other."""
    return msgspec.json.decode(body, type=Result)


def too_many_pages(limit: int) -> ManualError:
    """The error for a manual of more than `limit` pages."""
    return ManualError(
        "too_large", f"The manual has more than {limit} pages: split it (max_manual_pages)."
    )
