"""From what a person thinks of an answer to the event that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypedDict

from manicule.decoding import Object
from manicule.errors import Error
from protocol.codec import decode
from protocol.errors import EventError
from protocol.events import AnyItem, FinalResponse
from protocol.messages import Category

Action = Literal["accept", "reject", "modify", "rate", "dismiss"]
Level = Literal["logged", "committed"]


class Said(TypedDict, total=False):
    """What any judgement may say beside its action: see `Judgement`."""

    item: AnyItem | str | None
    tags: Sequence[Category]
    comment: str | None
    metadata: Mapping[str, str]
    min_level: Level | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of `answer` (its final facts, or its id) or of one `item` of it."""

    action: Action
    answer: FinalResponse | str
    item: AnyItem | str | None = None
    tags: Sequence[Category] = ()
    comment: str | None = None
    score: int | None = None
    final_text: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    min_level: Level | None = None


def frame_of(judgement: Judgement, event_id: str, now_ms: int) -> str:
    """Return the `feedback.create` as a frame; raises `Error` for what the server would refuse.

    The receipt goes along whenever the final facts are given, so that any node of a fleet takes
    the judgement, however long it waited.
    """
    answer = judgement.answer
    response_id, receipt = (
        (answer.id, answer.receipt) if isinstance(answer, FinalResponse) else (answer, "")
    )
    item = judgement.item
    event: Object = {
        "type": "feedback.create",
        "event_id": event_id,
        "response_id": response_id,
        "action": judgement.action,
        "item_id": item if item is None or isinstance(item, str) else item.id,
        "tags": list(judgement.tags) or None,
        "comment": judgement.comment,
        "score": judgement.score,
        "final_text": judgement.final_text,
        "receipt": receipt or None,
        "occurred_at": _rfc3339(now_ms),
        "metadata": dict(judgement.metadata) or None,
        "min_level": judgement.min_level,
    }
    given = {name: value for name, value in event.items() if value is not None}
    frame = json.dumps(given, separators=(",", ":"))
    try:
        decode(frame)
    except EventError as error:
        raise Error(error.code, error.message, param=error.param, event_id=event_id) from None
    return frame


def _rfc3339(now_ms: int) -> str:
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
