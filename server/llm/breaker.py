"""A model's circuit breaker: states and steps in a table, fed with outcomes and the time.

Redis has a breaker of its own (`server.storage.breaker`), which counts failures in a row: a Redis
is there or it is not. A model also fails in part, so here a share of the latest calls counts.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Literal

WINDOW_S = 10.0
"""How long an outcome counts: long enough for a few of them, too short for yesterday's fault."""

WINDOW_CALLS = 20
"""How many outcomes count, so that a busy model shows a change of its state at once."""

MIN_FAILURES = 4
"""Fewer failures prove nothing: one bad minute of a network is not a model that is down."""

PROBE_S = 1.0
"""The shortest time between two probes, also when the one before gave no outcome."""

MAX_PROBE_S = 16.0
"""The longest time between two probes: a model that is back waits no longer to be found."""


class BreakerState(Enum):
    """What calls may do."""

    CLOSED = "closed"  # all go
    OPEN = "open"  # none goes until the next probe is due
    HALF_OPEN = "half_open"  # one probes, none else goes


BreakerStep = Literal["tripped", "probed", "answered", "failed", "left"]
"""`left`: whoever made the probe went away before its outcome was known."""

BREAKER_TRANSITIONS: dict[tuple[BreakerState, BreakerStep], BreakerState] = {
    (BreakerState.CLOSED, "tripped"): BreakerState.OPEN,
    (BreakerState.OPEN, "probed"): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, "answered"): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, "failed"): BreakerState.OPEN,
    (BreakerState.HALF_OPEN, "left"): BreakerState.OPEN,
}

Permit = Literal["call", "probe"]
"""What `begin` allowed. Only a probe moves a breaker that is not closed: the outcome of a call
that began before it opened says nothing about now."""


class Breaker:
    """Opens when half of the latest calls failed, then lets one probe at a time through.

    `now` is seconds of any monotonic clock. Each `begin` is followed by exactly one of
    `answered`, `failed` and `left`; a call that has answered may still fail later, which
    `failed` with the permit `call` says.
    """

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=WINDOW_CALLS)
        self._probe_s = PROBE_S
        self._probe_due = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until a call may go: 0 when one may now."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        due_s = max(0.0, self._probe_due - now)
        return due_s if self.state is BreakerState.OPEN else max(due_s, PROBE_S)

    def begin(self, now: float) -> Permit:
        """Note that a call begins; `wait_s` must have been 0."""
        if self.state is BreakerState.CLOSED:
            return "call"
        self._step("probed")
        self._probe_due = now + PROBE_S
        return "probe"

    def answered(self, permit: Permit, now: float) -> None:
        """The model gave a token."""
        if permit == "probe":
            self._step("answered")
            self._outcomes.clear()
            self._probe_s = PROBE_S
        elif self.state is BreakerState.CLOSED:
            self._outcomes.append((now, True))

    def failed(self, permit: Permit, now: float) -> None:
        """The model failed in a way that says something about the next call."""
        if permit == "probe":
            self._step("failed")
            self._probe_s = min(self._probe_s * 2, MAX_PROBE_S)
            self._probe_due = now + self._probe_s
        elif self.state is BreakerState.CLOSED:
            self._outcomes.append((now, False))
            if self._is_failing(now):
                self._step("tripped")
                self._probe_due = now + self._probe_s

    def left(self, permit: Permit) -> None:
        """The caller went away, or the outcome says nothing about the model."""
        if permit == "probe":
            self._step("left")

    def _is_failing(self, now: float) -> bool:
        recent = [good for at, good in self._outcomes if at > now - WINDOW_S]
        failures = recent.count(False)
        return failures >= MIN_FAILURES and failures * 2 >= len(recent)

    def _step(self, step: BreakerStep) -> None:
        self.state = BREAKER_TRANSITIONS[self.state, step]
