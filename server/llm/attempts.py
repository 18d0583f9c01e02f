"""What a chain of models says beside the models' own events: who is asked, who failed."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.events import AttemptReason, FallbackName
from server.llm.port import ModelEvent, UpstreamErrorKind, Usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model is asked. `number` counts from 1; `fallback` names what stands in for a model."""

    number: int
    model: str
    reason: AttemptReason
    fallback: FallbackName | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over and is not the answer: it failed, or another was faster.

    `usage` is what it used all the same. `heir` is the attempt that goes on in its place, when
    one was running beside it.
    """

    number: int
    usage: Usage
    heir: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The text so far is void: a model failed in the middle, and the next one begins anew."""

    reason: UpstreamErrorKind


ChainEvent = Attempt | Ended | Reset | ModelEvent
