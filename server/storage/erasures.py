"""Persons that were erased: what was received before, and is written only now, is not stored.

A row can be on its way for a while: in the memory of a writer whose store is away, in the journal,
in an answer that still runs. The erasure leaves a hash of the person for it to meet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from server.storage.records import AnyRow, FeedbackRow

KEPT_MS = 30 * 86_400_000
"""How long an erasure is remembered: far longer than a row has ever been on its way."""

SKEW_MS = 10_000
"""How far the clocks of nodes may differ: what one of them received so shortly after counts as
received before."""


def person_of(user_id: str, tenant: str) -> str:
    """Return what stands for a person: the SHA-256 (hex) of tenant and id."""
    # Bytes as they are: an id of a dead letter may be no Unicode.
    return hashlib.sha256(json.dumps([tenant, user_id]).encode()).hexdigest()


class Erased:
    """Who was erased and when: person to Unix ms."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known

    def holds(self, row: AnyRow) -> bool:
        """Tell whether a row is about somebody who was erased after it was received."""
        if row.user_id is None or not self._known:
            return False
        time = row.received_at if isinstance(row, FeedbackRow) else row.started_at
        return self._is_before(row.user_id, row.tenant, time)

    def holds_letter(self, original: bytes) -> bool:
        """Tell the same of refused bytes; of those that are no row nobody can tell."""
        if not self._known:
            return False
        try:
            read = json.loads(original)
            time = read.get("received_at", read.get("started_at"))
            user_id, tenant = read.get("user_id"), read.get("tenant", "")
        except (ValueError, RecursionError, AttributeError):
            return False
        if not (isinstance(user_id, str) and isinstance(tenant, str)):
            return False
        return self._is_before(user_id, tenant, time if isinstance(time, int) else 0)

    def _is_before(self, user_id: str, tenant: str, time: int) -> bool:
        erased_at = self._known.get(person_of(user_id, tenant))
        return erased_at is not None and time <= erased_at + SKEW_MS
