"""What may be done to the bytes of a connection; `toxic_proxy.py` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Closing = Literal["close", "reset", "hold"]


@dataclass(frozen=True)
class Latency:
    """Each chunk arrives `delay_s` later, give or take up to `jitter_s`; the order stays."""

    delay_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True)
class Bandwidth:
    """At most so many bytes a second on each connection."""

    bytes_per_s: float


@dataclass(frozen=True)
class Slicer:
    """Pieces of `size` bytes, `delay_s` apart."""

    size: int
    delay_s: float = 0.0


@dataclass(frozen=True)
class SlowClose:
    """The end of a connection is told so much later."""

    delay_s: float


@dataclass(frozen=True)
class BlackHole:
    """Nothing passes, no end either; once it is taken away what was held passes, as after a
    partition. With `after_s` the connection is closed after so long."""

    after_s: float | None = None


@dataclass(frozen=True)
class ResetPeer:
    """Both ends get a reset `after_s` seconds after the toxic meets the connection's next chunk."""

    after_s: float = 0.0


@dataclass(frozen=True)
class LimitData:
    """After exactly so many bytes of a connection: close, reset, or hold the rest for ever."""

    limit_bytes: int
    then: Closing = "close"


@dataclass(frozen=True)
class LoseReply:
    """What is sent with `pattern` in it arrives; then the client gets a reset and no reply.

    Towards the server only. `times` connections are met by it in all.
    """

    pattern: bytes
    times: int = 1


Toxic = Latency | Bandwidth | Slicer | SlowClose | BlackHole | ResetPeer | LimitData | LoseReply
