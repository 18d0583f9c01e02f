"""A question as the log keeps it: what another node needs to answer it anew."""

from __future__ import annotations

import msgspec

from protocol.messages import ResponseCreate
from server.answering.admission import Standing
from server.answering.fair_queue import Priority
from server.answering.topics import Asker


class TakenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The event as it came and who asked; `created_at` is Unix seconds."""

    event: ResponseCreate
    created_at: int
    principal: str = ""
    tenant: str = ""
    client: str = ""
    priority: Priority = "normal"

    @property
    def asker(self) -> Asker:
        """Whose answer it is."""
        return Asker(self.principal, self.tenant)

    @property
    def standing(self) -> Standing:
        """How it stands among others."""
        return Standing(self.client, self.priority)


def write_question(
    event: ResponseCreate, created_at: int, asker: Asker, standing: Standing
) -> bytes:
    """Return the question as bytes."""
    return msgspec.json.encode(
        TakenQuestion(
            event=event,
            created_at=created_at,
            principal=asker.name,
            tenant=asker.tenant,
            client=standing.client,
            priority=standing.priority,
        )
    )


def read_question(data: bytes | None) -> TakenQuestion | None:
    """Return the question in `data`, None when there is none that can be read."""
    if not data:
        return None
    try:
        return msgspec.json.decode(data, type=TakenQuestion)
    except msgspec.DecodeError:
        return None
