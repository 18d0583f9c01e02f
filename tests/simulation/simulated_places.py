"""Where simulated code runs: processes, which every task and callback inherits from its maker."""

from __future__ import annotations

from asyncio import events
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field


@dataclass(eq=False)
class Place:
    """Where code runs: a process, with clocks of its own.

    `skew_s` is how far its wall clock is off, `booted_s` what its monotonic clock began at.
    """

    name: str
    skew_s: float = 0.0
    booted_s: float = 0.0
    stopped: bool = False
    killed: bool = False
    put_aside: list[tuple[int, events.Handle]] = field(default_factory=list)


OUTSIDE = Place("outside")
PLACE: ContextVar[Place] = ContextVar("place", default=OUTSIDE)


def at(place: Place, context: Context | None = None) -> Context:
    """A context whose code runs at `place`."""
    context = copy_context() if context is None else context
    context.run(PLACE.set, place)
    return context
