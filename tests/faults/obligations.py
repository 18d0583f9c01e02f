"""The oracle of all feedback tests: what was acknowledged is owed, and nothing else may be stored.

Tell it what was sent and what was answered; once the faults are over and the journal is drained,
`settle` compares that with what the store holds. It counts four ways to fail: an acknowledged row
that is missing, a row that is stored twice, a row that nobody sent or that its sender was told is
refused, and a row that is not what was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.errors import EventError
from server.feedback.outcomes import Ack
from server.storage.records import FeedbackRow
from server.storage.store import Filter

Key = tuple[str, str]
FINAL = ("conflict", "invalid_event", "response_not_found", "invalid_receipt")


ANSWER_S = 60.0
"""A writer that gives no answer for so long has hung, and its test ends."""


@dataclass
class Verdict:
    """Keys of (tenant, event id) by the way in which they fail."""

    missing: list[Key] = field(default_factory=list)
    duplicate: list[Key] = field(default_factory=list)
    spurious: list[Key] = field(default_factory=list)
    payload: list[Key] = field(default_factory=list)

    def __bool__(self) -> bool:
        """True when nothing failed."""
        return not (self.missing or self.duplicate or self.spurious or self.payload)

    def __str__(self) -> str:
        return ", ".join(f"{name} {len(keys)}" for name, keys in vars(self).items())


@dataclass
class Obligations:
    """What a client may rely on."""

    sent: dict[Key, FeedbackRow] = field(default_factory=dict)
    acked: dict[Key, str] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    answers: Counter = field(default_factory=Counter)

    def send(self, row: FeedbackRow) -> None:
        """Note a row before it is sent; a repetition must be the same row."""
        self.sent.setdefault(_key(row), row)

    def ack(self, row: FeedbackRow, level: str) -> None:
        """Note that the row was acknowledged: from here on it is owed."""
        self.acked.setdefault(_key(row), level)
        self.answers[level] += 1

    def nack(self, row: FeedbackRow, code: str) -> None:
        """Note an error; a final one means that this content must not be stored."""
        self.answers[code] += 1
        if code in FINAL and _key(row) not in self.acked:
            self.refused[_key(row)] = code

    @property
    def unanswered(self) -> list[FeedbackRow]:
        """What a client would send again."""
        settled = self.acked.keys() | self.refused.keys()
        return [row for key, row in self.sent.items() if key not in settled]

    async def submit(self, writer, row: FeedbackRow, **options) -> Ack | EventError:
        """Send one row through a writer and note the outcome."""
        self.send(row)
        try:
            async with asyncio.timeout(ANSWER_S):
                ack = await writer.submit(row, **options)
        except EventError as error:
            self.nack(row, error.code)
            return error
        self.ack(row, ack.level)
        return ack

    async def resend(self, writer, bound_s: float = 10.0) -> None:
        """Send again what has no final answer, as a client does, until nothing is left."""
        deadline = time.monotonic() + bound_s
        while rows := self.unanswered:
            assert time.monotonic() < deadline, f"{len(rows)} rows found no answer"
            await asyncio.gather(*(self.submit(writer, row) for row in rows))
            await asyncio.sleep(0.01)

    def judge(self, stored: Iterable[FeedbackRow]) -> Verdict:
        """Compare what is owed with what is stored."""
        rows = list(stored)
        counts = Counter(_key(row) for row in rows)
        return Verdict(
            missing=[key for key in self.acked if key not in counts],
            duplicate=[key for key, count in counts.items() if count > 1],
            spurious=[key for key in counts if key not in self.sent or key in self.refused],
            payload=[
                _key(row) for row in rows if _key(row) in self.sent and row != self.sent[_key(row)]
            ],
        )

    async def settle(self, store) -> Verdict:
        """Compare with all rows of all tenants that were ever sent, or written of in metadata."""
        tenants = {tenant for tenant, _ in self.sent}
        for row in self.sent.values():
            tenants |= {"", row.metadata.get("tenant", "")}
        return self.judge(
            [one.feedback for tenant in tenants async for one in store.judged(Filter(tenant))]
        )


def _key(row: FeedbackRow) -> Key:
    return row.tenant, row.event_id
