"""How rows are handed to PostgreSQL: one array for each column."""

from __future__ import annotations

from collections.abc import Sequence

SHARDS = 16
"""Rows per day or sum at most: as many nodes add to one without waiting."""

_TYPES = {
    "event_id": "uuid",
    "received_at": "bigint",
    "started_at": "bigint",
    "score": "smallint",
    "confidence": "double precision",
    "confidence_bin": "smallint",
    "weight": "double precision",
    "items": "bytea",
    "latency_ms": "double precision",
    "is_confused": "boolean",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cost_usd": "double precision",
    "level": "smallint",
    "span": "smallint",
    "place": "integer",
    "accepted": "double precision",
    "rejected": "double precision",
    "modified": "double precision",
    "dismissed": "double precision",
    "rated": "bigint",
    "day": "integer",
    "key": "bytea",
    "events": "bigint",
    "score_sum": "bigint",
}
"""Types of columns that are not text."""


def unnest(columns: Sequence[str]) -> str:
    """Return the SQL of a table whose columns are the arguments."""
    arrays = [f"${n}::{_TYPES.get(name, 'text')}[]" for n, name in enumerate(columns, 1)]
    return f"unnest({', '.join(arrays)})"
