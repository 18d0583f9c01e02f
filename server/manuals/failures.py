"""Failures that are remembered for a short while, so that a broken source is not asked again."""

from __future__ import annotations

from collections.abc import Callable

from server.manuals.documents import ManualError, ManualProblem

TRANSIENT: frozenset[ManualProblem] = frozenset({"unreachable", "timeout"})
"""Failures of the network, which pass; a damaged file may be mended too, but costs the parser
its whole time at each try."""

TRANSIENT_TTL_S = 5.0
"""How long a passing failure counts: long enough to spare the source a storm."""

MAX_FAILURES = 4096
"""Failures remembered; the oldest leave, which costs one more try each."""


class Failures:
    """The last failure of each manual's source. `ttl_s` is for those that do not pass."""

    def __init__(self, ttl_s: float, now: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._now = now
        self._known: dict[str, tuple[str, ManualError, float]] = {}

    def get(self, manual_id: str, source_key: str) -> ManualError | None:
        """The failure of this source if it still counts."""
        known = self._known.get(manual_id)
        if known is None or known[0] != source_key:
            return None
        if known[2] <= self._now():
            del self._known[manual_id]
            return None
        return known[1]

    def add(self, manual_id: str, source_key: str, error: ManualError) -> None:
        """Remember a failure from now on."""
        transient = error.problem in TRANSIENT
        ttl_s = min(TRANSIENT_TTL_S, self._ttl_s) if transient else self._ttl_s
        self.forget(manual_id)
        self._known[manual_id] = (source_key, error, self._now() + ttl_s)
        if len(self._known) > MAX_FAILURES:
            del self._known[next(iter(self._known))]

    def forget(self, manual_id: str) -> None:
        """The manual was had after all."""
        self._known.pop(manual_id, None)
