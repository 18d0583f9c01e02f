"""Rows as columns: what SQLite and PostgreSQL both store, and how it reads back.

Each field of a row is a column of the same name. Tags and metadata are JSON texts, so that they
come back in their order and byte for byte. What one of the two stores could not keep exactly (NUL,
lone surrogates, numbers that are none) neither of them takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from server.storage.records import FeedbackRow, InteractionRow
from server.storage.store import RowRefusedError

DAY_MS = 86_400_000

BINS = 10
"""Confidence bins: tenths, each with its lower bound; the last holds 1.0 too."""

NO_BIN = -1
"""The bin of a judgement without a confidence."""

FEEDBACK_COLUMNS = (*FeedbackRow.__struct_fields__, "confidence_bin")
INTERACTION_COLUMNS = InteractionRow.__struct_fields__

FEEDBACK_SELECT = ", ".join(FeedbackRow.__struct_fields__)
JUDGED_SELECT = ", ".join(
    [f"f.{name}" for name in FeedbackRow.__struct_fields__]
    + [f"i.{name}" for name in INTERACTION_COLUMNS]
)
"""Columns of a feedback row, then of its interaction; `judged_row` reads them."""

Values = tuple[Any, ...]

_feedback_fields = attrgetter(*FeedbackRow.__struct_fields__)
_interaction_fields = attrgetter(*INTERACTION_COLUMNS)
_TAGS = FeedbackRow.__struct_fields__.index("tags")
_METADATA = FeedbackRow.__struct_fields__.index("metadata")
_WIDTH = len(FeedbackRow.__struct_fields__)
_HEX = frozenset("0123456789abcdef")


def confidence_bin(confidence: float | None) -> int:
    """Return the tenth that a confidence falls into, 0 to 9, or `NO_BIN` without one.

    Raises `RowRefusedError` for what is no number from 0 to 1.
    """
    if confidence is None:
        return NO_BIN
    if not 0 <= confidence <= 1:
        raise RowRefusedError("confidence is not between 0 and 1")
    return min(BINS - 1, int(confidence * BINS))


def feedback_values(row: FeedbackRow) -> Values:
    """Return the values of `FEEDBACK_COLUMNS`; raises `RowRefusedError`."""
    try:
        if not canonical_uuid(row.event_id):
            raise RowRefusedError("event_id is no UUID in canonical form")
        values = list(_feedback_fields(row))
        _check(values)
        _check(row.tags)
        _check(row.metadata.keys())
        _check(row.metadata.values())
        values[_TAGS] = msgspec.json.encode(row.tags).decode()
        values[_METADATA] = msgspec.json.encode(row.metadata).decode()
        values.append(confidence_bin(row.confidence))
    except (AttributeError, TypeError, ValueError) as error:
        raise RowRefusedError(f"no feedback row: {error}") from error
    return tuple(values)


def interaction_values(row: InteractionRow) -> Values:
    """Return the values of `INTERACTION_COLUMNS`; raises `RowRefusedError`."""
    values = _interaction_fields(row)
    _check(values)
    return tuple(values)


def feedback_row(values: Sequence[Any]) -> FeedbackRow:
    """Return the row whose `FEEDBACK_SELECT` was read."""
    named = dict(zip(FeedbackRow.__struct_fields__, values, strict=True))
    named["event_id"] = str(named["event_id"])
    named["tags"] = msgspec.json.decode(named["tags"], type=tuple[str, ...])
    named["metadata"] = msgspec.json.decode(named["metadata"], type=dict[str, str])
    return FeedbackRow(**named)


def interaction_row(values: Sequence[Any]) -> InteractionRow:
    """Return the row whose `INTERACTION_COLUMNS` were read."""
    named = dict(zip(INTERACTION_COLUMNS, values, strict=True))
    named["is_confused"] = bool(named["is_confused"])
    return InteractionRow(**named)


def judged_row(values: Sequence[Any]) -> tuple[FeedbackRow, InteractionRow | None]:
    """Return the pair whose `JUDGED_SELECT` was read; None where the join found nothing."""
    about = values[_WIDTH:]
    found = about[INTERACTION_COLUMNS.index("response_id")] is not None
    return feedback_row(values[:_WIDTH]), interaction_row(about) if found else None


def canonical_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in lower case with its four hyphens."""
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and _HEX.issuperset("".join(parts))


def _check(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            if "\x00" in value:
                raise RowRefusedError("a text holds NUL")
        elif isinstance(value, float) and not math.isfinite(value):
            raise RowRefusedError("a number is not finite")
