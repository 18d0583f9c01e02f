"""The formats that can be exported, as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from server.datasets import encoders, tables, validators
from server.datasets.examples import Reason

FormatName = Literal[
    "openai-chat", "openai-preference", "gemini", "gemini-preference", "trl", "csv", "parquet"
]
Kind = Literal["examples", "pairs", "table"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what it is made of, how a line is written, and the rules that lines must keep.

    `encode` takes an `Example`, a `Pair` or, for a table, a `Judged`, and raises `UnicodeError`
    for what UTF-8 cannot say. `min_lines` is what the format's reader wants at least of a training
    file (0: it names none), `max_bytes` what it takes at most.
    """

    name: FormatName
    kind: Kind
    suffix: str
    media_type: str
    encode: Callable[[Any], bytes]
    check: Callable[[bytes], Reason | None] | None = None
    header: bytes = b""
    min_lines: int = 0
    max_bytes: int | None = None


_JSONL = "application/jsonl"

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format(
            "openai-chat", "examples", ".jsonl", _JSONL, encoders.openai_chat,
            validators.check_openai_chat, min_lines=10, max_bytes=512 * 10**6,
        ),
        Format(
            "openai-preference", "pairs", ".jsonl", _JSONL, encoders.openai_preference,
            validators.check_openai_preference, min_lines=10, max_bytes=512 * 10**6,
        ),
        Format(
            "gemini", "examples", ".jsonl", _JSONL, encoders.gemini_tuning,
            validators.check_gemini_tuning, max_bytes=10**9,
        ),
        Format(
            "gemini-preference", "pairs", ".jsonl", _JSONL, encoders.gemini_preference,
            validators.check_gemini_preference, max_bytes=10**9,
        ),
        Format(
            "trl", "pairs", ".jsonl", _JSONL, encoders.trl_preference, validators.check_trl
        ),
        Format("csv", "table", ".csv", "text/csv", tables.csv_row, header=tables.CSV_HEADER),
        Format("parquet", "table", ".parquet", "application/vnd.apache.parquet", tables.json_row),
    )
}  # fmt: skip


class UnknownFormatError(ValueError):
    """No format of that name; the message lists those there are."""


def format_named(name: str) -> Format:
    """Return a format; raises `UnknownFormatError`."""
    found = FORMATS.get(name)
    if found is None:
        raise UnknownFormatError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return found
