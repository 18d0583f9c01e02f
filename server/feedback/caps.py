"""How much one principal's judgements count: in full up to a daily cap, then not at all."""

from __future__ import annotations

from collections import OrderedDict

DAILY_CAP = 200
"""More answers than a person judges with care in a day; what is beyond is kept, at weight 0."""

MAX_PRINCIPALS = 100_000
"""Counters held at once (some 20 MB); beyond it those idle longest start anew."""

DAY_MS = 86_400_000


class DailyCap:
    """Counts judgements by principal and UTC day, in this process.

    A sum of weights over a day never exceeds `cap` for one principal, however many events come.
    The caller brings the clock.
    """

    def __init__(self, cap: int = DAILY_CAP, *, max_principals: int = MAX_PRINCIPALS) -> None:
        self._cap = cap
        self._max_principals = max_principals
        self._day = -1
        self._counts: OrderedDict[str, int] = OrderedDict()

    def weight(self, principal: str, now_ms: int) -> float:
        """Count one judgement and return its weight: 1, or 0 beyond the cap."""
        day = now_ms // DAY_MS
        if day != self._day:
            self._counts.clear()
            self._day = day
        count = self._counts.pop(principal, 0) + 1
        self._counts[principal] = count
        if len(self._counts) > self._max_principals:
            self._counts.popitem(last=False)
        return 1.0 if count <= self._cap else 0.0
