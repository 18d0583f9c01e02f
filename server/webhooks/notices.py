"""What endpoints are told: pure, so that a store can ask within its transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from server.storage.letters import plain, tenant_of
from server.storage.outbox import Notice
from server.storage.records import DeadLetter, FeedbackRow
from server.webhooks.endpoints import Endpoint, Event

LAST_MS = 253_402_300_799_999
"""The last time that a date with four digits can name."""


class Announcements:
    """An `Announcer` for these endpoints.

    No notice holds a question, an answer, a corrected text or a user's id; a comment only where
    the endpoint's entry says so.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    def of_rows(self, rows: Sequence[FeedbackRow]) -> list[Notice]:
        """Return a notice of each judgement, and another of each rejection."""
        if not self._endpoints:
            return []
        return [notice for row in rows for notice in self._of_row(row)]

    def of_letter(self, letter: DeadLetter) -> list[Notice]:
        """Return the notices of a dead letter: where to look, and nothing of what it holds."""
        found = tenant_of(letter.original)
        tenant = None if found is None else plain(found)
        event: Event = "dead_letter.created"
        body = _body(
            event,
            letter.received_at,
            {"id": letter.id, "tenant": tenant, "bytes": len(letter.original)},
        )
        message_id = _message_id(event, tenant or "", f"{letter.id} {letter.received_at}")
        return [
            Notice(message_id, one.name, event, tenant or "", body, letter.received_at)
            for one in self._endpoints
            if one.wants(event, tenant)
        ]

    def _of_row(self, row: FeedbackRow) -> Iterator[Notice]:
        events: tuple[Event, ...] = ("feedback.created",)
        if row.action == "reject":
            events = ("feedback.created", "answer.rejected")
        for event in events:
            told = [one for one in self._endpoints if one.wants(event, row.tenant)]
            if not told:
                continue
            message_id = _message_id(event, row.tenant, row.event_id)
            facts = _facts(row)
            short = _body(event, row.received_at, facts)
            full = _body(event, row.received_at, facts | {"comment": row.comment})
            for one in told:
                yield Notice(
                    message_id,
                    one.name,
                    event,
                    row.tenant,
                    full if one.comments else short,
                    row.received_at,
                    row.user_id,
                )


def _facts(row: FeedbackRow) -> dict[str, object]:
    return {
        "tenant": row.tenant,
        "event_id": row.event_id,
        "response_id": row.response_id,
        "item_id": row.item_id,
        "item_type": row.item_type,
        "action": row.action,
        "score": row.score,
        "tags": row.tags,
        "product_id": row.product_id,
        "scenario": row.scenario,
        "prompt_version": row.prompt_version,
        "model": row.model,
        "arm": row.arm,
        "confidence": row.confidence,
    }


def _body(event: str, time_ms: int, data: dict[str, object]) -> bytes:
    at = datetime.fromtimestamp(min(time_ms, LAST_MS) / 1000, UTC)
    written = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": event, "timestamp": written, "data": data})


def _message_id(event: str, tenant: str, key: str) -> str:
    """Return an id that is the same whenever the same thing is told; it holds no full stop."""
    told = msgspec.json.encode([event, tenant, key])
    return f"msg_{hashlib.blake2b(told, digest_size=16).hexdigest()}"


def trial_body(now_ms: int) -> bytes:
    """Return the body of a delivery that only tries whether the endpoint works."""
    return _body("webhook.test", now_ms, {})
