"""An ask for a manual, what may come of it, how long things count, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.manuals.documents import ManualSource
from server.manuals.prepared import Prepared

Event = Literal[
    "hit_memory",
    "hit_cache",
    "stale",
    "miss",
    "shared",  # an ask that joined the work of another in this process
    "waited",  # a load that another process was already at
    "fetched",
    "unchanged",  # the source confirmed what is held
    "fetch_error",
    "negative",  # answered from a remembered failure
    "refresh",
    "invalidated",
    "corrupt",
    "oversize",
    "source_changed",
    "cache_unreachable",
    "cache_not_written",
    "evicted",
]
"""What is counted; `on_event` is called with these names only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long things count. All in seconds.

    Within `ttl_s` a text is fresh; for `stale_s` more it is served while it is refreshed or its
    source fails. A local file is checked (a `stat`) once `file_ttl_s` has passed, before it is
    served. A load may take `load_timeout_s`; while another process is at it, an ask waits
    `wait_s` for the result.
    """

    ttl_s: float = 86_400
    stale_s: float = 604_800
    file_ttl_s: float = 10
    negative_ttl_s: float = 60
    wait_s: float = 10
    load_timeout_s: float = 120

    def ttl_for(self, source: ManualSource) -> float:
        """How long a text from this source is fresh."""
        return self.ttl_s if source.path is None else min(self.ttl_s, self.file_ttl_s)


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish for a manual: which, from where, and that place's key."""

    id: str
    source: ManualSource
    key: str

    @property
    def flight(self) -> str:
        """The key under which asks that want the same share the work."""
        return f"{self.id} {self.key}"


@dataclass(frozen=True, slots=True)
class Obtained:
    """A manual and where it was found."""

    status: Literal["memory", "cache", "fetched"]
    prepared: Prepared
