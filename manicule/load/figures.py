"""What came of a load: samples while it runs, a summary at its end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

MAX_CPU_SHARE = 0.8
"""A generator that uses more of its core than this was late itself: its figures are refused."""

SHARES = (0.5, 0.95, 0.99, 0.999)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of `number` samples in milliseconds, by the nearest rank; null without any."""

    number: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    most: float | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a whole run. Rates are per second, times in milliseconds.

    `first_token`, `total` and `feedback` count from when the question (the judgement) was due.
    `delta_lateness` is how much later a delta came than a model of the known rate had said it.
    `cpu_share` is of the generator's own core; `valid` is false, with the reason, when it was the
    bottleneck.
    """

    duration_s: float
    asked: int
    completed: int
    unfinished: int
    answers_per_s: float
    deltas_per_s: float
    most_running: int
    first_token_ms: Spread
    total_ms: Spread
    delta_lateness_ms: Spread
    feedback_ms: Spread
    send_lateness_ms: Spread
    resumed: int
    resets: int
    slow_closed: int
    errors: dict[str, int]
    cpu_share: float
    valid: bool
    reason: str | None


@dataclass(slots=True)
class Figures:
    """Samples in seconds, and counts."""

    asked: int = 0
    completed: int = 0
    deltas: int = 0
    running: int = 0
    most_running: int = 0
    resumed: int = 0
    resets: int = 0
    slow_closed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_token_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    feedback_s: list[float] = field(default_factory=list)
    send_late_s: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """A question was sent."""
        self.asked += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)

    def end(self, outcome: str) -> None:
        """An answer ended; `outcome` is `completed`, or what is counted among the errors."""
        self.running -= 1
        if outcome == "completed":
            self.completed += 1
        else:
            self.errors[outcome] += 1

    def summary(self, *, duration_s: float, cpu_s: float) -> Summary:
        """Return the summary of a run of `duration_s` that took `cpu_s` of processor time."""
        share = cpu_s / duration_s
        reason = None
        if share > MAX_CPU_SHARE:
            reason = (
                f"the generator used {share:.0%} of its core: it was late itself. Ask less, or run "
                "several of it"
            )
        elif not self.asked:
            reason = "no question was asked"
        return Summary(
            duration_s=round(duration_s, 3),
            asked=self.asked,
            completed=self.completed,
            unfinished=self.running,
            answers_per_s=round(self.completed / duration_s, 2),
            deltas_per_s=round(self.deltas / duration_s, 1),
            most_running=self.most_running,
            first_token_ms=spread(self.first_token_s),
            total_ms=spread(self.total_s),
            delta_lateness_ms=spread(self.lateness_s),
            feedback_ms=spread(self.feedback_s),
            send_lateness_ms=spread(self.send_late_s),
            resumed=self.resumed,
            resets=self.resets,
            slow_closed=self.slow_closed,
            errors=dict(sorted(self.errors.items())),
            cpu_share=round(share, 3),
            valid=reason is None,
            reason=reason,
        )


def spread(samples_s: Sequence[float]) -> Spread:
    """Return the spread of samples in seconds."""
    if not samples_s:
        return Spread(number=0, p50=None, p95=None, p99=None, p999=None, most=None)
    ordered = sorted(samples_s)
    last = len(ordered) - 1
    p50, p95, p99, p999 = (_ms(ordered[min(last, int(share * len(ordered)))]) for share in SHARES)
    return Spread(number=len(ordered), p50=p50, p95=p95, p99=p99, p999=p999, most=_ms(ordered[-1]))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


class Pace:
    """Lateness of deltas against a model of `words_per_s`, the earliest delta being on time.

    A delta with words up to the n-th was said n / rate after the first; the smallest gap between
    that and its arrival is taken as the way, so lateness is never below 0.
    """

    def __init__(self, words_per_s: float) -> None:
        self._words_per_s = words_per_s
        self._words = 0
        self._offsets: list[float] = []

    def arrived(self, delta: str, at: float) -> None:
        """Note a delta that arrived `at` seconds."""
        if self._words_per_s:
            self._words += max(1, delta.count(" "))
            self._offsets.append(at - self._words / self._words_per_s)

    def lateness_s(self) -> list[float]:
        """Return the lateness of each delta."""
        earliest = min(self._offsets, default=0.0)
        return [offset - earliest for offset in self._offsets]
