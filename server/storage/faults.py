"""What can be wrong with a Redis, by kind, and which kinds mean that it is not there at all."""

from __future__ import annotations

from typing import Literal

FaultKind = Literal[
    "unreachable",  # refused, reset, unknown host, a cluster without this slot
    "timeout",  # no reply in time, or no connection free
    "open",  # the breaker is open: not asked
    "loading",  # LOADING: reading its data set after a start
    "refused",  # NOAUTH, WRONGPASS, NOPERM
    "read_only",  # READONLY: a replica
    "moved",  # MOVED or ASK: a cluster addressed as a single server
    "out_of_memory",  # OOM: maxmemory reached and nothing may be evicted
    "misconfigured",  # MISCONF: it cannot save and therefore refuses writes
    "wrong_type",  # WRONGTYPE: somebody keeps something else at the key
    "reply",  # any other error reply, or bytes that are no reply
]

ABSENT: frozenset[FaultKind] = frozenset({"unreachable", "timeout", "loading"})
"""Kinds that say the server cannot serve anybody now; only these open the breaker."""


class StorageError(Exception):
    """A command did not succeed. Raised inside this package only; its ports degrade instead."""

    def __init__(self, kind: FaultKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind: FaultKind = kind
        self.detail = detail
