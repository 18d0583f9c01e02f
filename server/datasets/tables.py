"""Judgements as rows of a table: CSV that no spreadsheet can run, and the columns of Parquet.

Every judgement is a row, with its interaction where there is one. Who judged is not in it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from server.datasets.encoders import one_line
from server.storage.store import Judged

COLUMNS: dict[str, type] = {
    "event_id": str, "response_id": str, "received_at": str, "occurred_at": str, "action": str,
    "item_id": str, "item_type": str, "score": int, "tags": str, "comment": str,
    "final_text": str, "product_id": str, "scenario": str, "prompt_version": str, "model": str,
    "arm": str, "confidence": float, "weight": float, "metadata": str, "question": str,
    "answer": str, "items": str, "language": str, "finish_reason": str, "fallback": str,
    "manual_sha256": str, "previous_response_id": str,
}  # fmt: skip
"""Names and types of the columns in their order. `tags`, `metadata` and `items` are JSON."""

CSV_HEADER = (",".join(f'"{name}"' for name in COLUMNS) + "\r\n").encode()

Cell = str | int | float | None

_FORMULA = re.compile(r"[\s\x00-\x20\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠|%]")
"""What a spreadsheet may take for a formula: signs, also in full width, also after blanks and
characters that do not show (OWASP, "CSV injection"; ASVS 1.2.10), and `|` and `%`, which older ones
took for commands."""
_LINE_END = re.compile("\r\n|\r")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def row_of(judged: Judged) -> tuple[Cell, ...]:
    """Return the values of `COLUMNS` for one judgement, unchanged."""
    feedback, about = judged.feedback, judged.interaction
    received = datetime.fromtimestamp(feedback.received_at / 1000, UTC)
    return (
        feedback.event_id,
        feedback.response_id,
        received.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        feedback.occurred_at,
        feedback.action,
        feedback.item_id,
        feedback.item_type,
        feedback.score,
        msgspec.json.encode(feedback.tags).decode(),
        feedback.comment,
        feedback.final_text,
        feedback.product_id,
        feedback.scenario,
        feedback.prompt_version,
        feedback.model,
        feedback.arm,
        feedback.confidence,
        feedback.weight,
        msgspec.json.encode(feedback.metadata).decode(),
        about.question if about else None,
        about.answer if about else None,
        about.items.decode("utf-8", "replace") if about else None,
        about.language if about else None,
        about.finish_reason if about else None,
        about.fallback if about else None,
        feedback.manual_sha256,
        about.previous_response_id if about else None,
    )


def csv_row(judged: Judged) -> bytes:
    """Return one record of RFC 4180: all fields quoted, CRLF at its end, texts neutralised."""
    return (",".join(map(_csv_cell, row_of(judged))) + "\r\n").encode()


def json_row(judged: Judged) -> bytes:
    """Return the row as a JSON array on one line."""
    return one_line(msgspec.json.encode(row_of(judged)))


def _csv_cell(value: Cell) -> str:
    if value is None:
        return '""'
    if not isinstance(value, str):
        return f'"{value}"'
    return '"' + neutralise(value).replace('"', '""') + '"'


def neutralise(text: str) -> str:
    """Return a text that a spreadsheet shows and never runs, and that a terminal only prints.

    A text that begins like a formula gets an apostrophe in front; line ends become LF; other
    control characters (ANSI sequences begin with one) become U+FFFD. Exact texts are in the JSON
    formats and in Parquet.
    """
    if _FORMULA.match(text):
        text = "'" + text
    return _CONTROL.sub("\ufffd", _LINE_END.sub("\n", text))
