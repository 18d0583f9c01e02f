"""Rows for tests of the stores: plain ones by default, any field changed by name."""

from __future__ import annotations

import hashlib
import itertools
import uuid

import msgspec
from hypothesis import strategies as st

from server.storage.records import FeedbackRow, InteractionRow

NOW_S = 1_795_255_200.0
"""2026-11-21 10:00 UTC, the time of all tests here."""

NOW_MS = int(NOW_S * 1000)
DAY_MS = 86_400_000

_counter = itertools.count()


def uuid7(ms: int = NOW_MS, number: int | None = None) -> str:
    """A UUIDv7 of a time, different each time unless numbered."""
    tail = next(_counter) if number is None else number
    digest = int.from_bytes(
        hashlib.blake2b(tail.to_bytes(8, "big"), digest_size=10).digest(), "big"
    )
    value = (ms << 80) | (digest & ((1 << 80) - 1))
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (2 << 62)
    return str(uuid.UUID(int=value))


def judgement(**fields: object) -> FeedbackRow:
    given = {
        "event_id": fields.get("event_id") or uuid7(),
        "response_id": "r1",
        "action": "accept",
        "received_at": NOW_MS,
        "payload_sha256": "a" * 64,
    }
    return FeedbackRow(**(given | fields))


def interaction(**fields: object) -> InteractionRow:
    given = {
        "response_id": "r1",
        "started_at": NOW_MS,
        "outcome": "completed",
        "question": "How do I descale it?",
        "answer": "Fill the tank.",
        "items": b"[]",
        "finish_reason": "stop",
        "language": "en",
        "latency_ms": 12.5,
    }
    return InteractionRow(**(given | fields))


def _names(text: str) -> list[str]:
    return text.split()


TEXT = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), max_size=50)
SOME = st.none() | TEXT
RATIO = st.floats(0, 1)
WHOLE = st.integers(0, 2**53)

JUDGEMENTS = st.builds(
    FeedbackRow,
    **dict.fromkeys(_names("tenant response_id payload_sha256"), TEXT),
    **dict.fromkeys(
        _names(
            "item_id item_type final_text comment occurred_at user_id product_id scenario"
            " prompt_version model arm manual_sha256"
        ),
        SOME,
    ),
    event_id=st.uuids().map(str),
    action=st.sampled_from(["accept", "reject", "modify", "rate", "dismiss"]),
    received_at=st.integers(0, 2**42),
    score=st.none() | st.integers(1, 5),
    tags=st.lists(TEXT, max_size=4).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=4),
    confidence=st.none() | RATIO,
    weight=RATIO,
)

INTERACTIONS = st.builds(
    InteractionRow,
    **dict.fromkeys(
        _names("tenant response_id outcome question answer finish_reason language"), TEXT
    ),
    **dict.fromkeys(
        _names(
            "previous_response_id user_id product_id scenario prompt_version model arm fallback"
            " manual_sha256 manual_status answer_cache guidance"
        ),
        SOME,
    ),
    started_at=st.integers(0, 2**42),
    items=st.binary(max_size=50),
    latency_ms=st.floats(0, 1e9),
    confidence=st.none() | RATIO,
    is_confused=st.booleans(),
    input_tokens=WHOLE,
    output_tokens=WHOLE,
    cost_usd=st.none() | st.floats(0, 1e6),
)


def changed(row: FeedbackRow, **fields: object) -> FeedbackRow:
    """The row with some fields changed."""
    return msgspec.structs.replace(row, **fields)
