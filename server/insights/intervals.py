"""Shares and means with intervals, and where the line lies under which nothing is said."""

from __future__ import annotations

from math import erfc, sqrt
from typing import Literal

from server.insights.results import Rate, Rating

Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""

MIN_DECIDED = 20
"""Fewer decided events say nothing: at 20 the interval of an even share is 40 points wide."""
MIN_RATED = 20
"""The same for scores."""

LOWEST_SCORE = 1
HIGHEST_SCORE = 5

_HAIR = 1e-9
"""What sums of weights may be off by in binary fractions."""


def wilson(successes: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of `successes` out of `trials`, both at least 0.

    Wilson (1927), without continuity correction. Sums of weights of at most 1 may be given: Kish's
    effective number (sum w)^2 / (sum w^2) is then at least `trials`, so the interval is never
    narrower than it should be. Raises `ValueError` when there is no trial or more successes.
    """
    if trials <= 0 or not -_HAIR <= successes <= trials + _HAIR:
        raise ValueError("successes must lie between 0 and a positive number of trials")
    share = min(1.0, max(0.0, successes / trials))
    square = z * z
    spread = z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    middle = share + square / (2 * trials)
    scale = 1 + square / trials
    low = 0.0 if share == 0 else (middle - spread) / scale
    high = 1.0 if share == 1 else (middle + spread) / scale
    return min(max(0.0, low), share), max(min(1.0, high), share)


def rate(
    successes: float,
    trials: float,
    *,
    at_least: float = MIN_DECIDED,
    what: str = "decided events",
) -> Rate:
    """Return the share with its interval, or null and the reason when `trials` are too few."""
    if trials + _HAIR < at_least:
        return Rate(
            value=None, low=None, high=None, of=trials, reason=too_few(what, trials, at_least)
        )
    low, high = wilson(successes, trials)
    return Rate(value=min(1.0, successes / trials), low=low, high=high, of=trials)


def rating(score_sum: float, count: int) -> Rating:
    """Return the mean of scores from 1 to 5 with an interval, or null and the reason.

    Only the sum is kept, not the squares. A mean m on a scale brought to 0..1 has a variance of at
    most m (1 - m) (Bhatia and Davis, 2000), reached by scores of 1 and 5 alone; Wilson's interval
    with that variance is thus never narrower than the scores allow.
    """
    if count < MIN_RATED:
        reason = too_few("ratings", count, MIN_RATED)
        return Rating(mean=None, low=None, high=None, count=count, reason=reason)
    span = HIGHEST_SCORE - LOWEST_SCORE
    low, high = wilson((score_sum - LOWEST_SCORE * count) / span, count)
    return Rating(
        mean=score_sum / count,
        low=LOWEST_SCORE + span * low,
        high=LOWEST_SCORE + span * high,
        count=count,
    )


def too_few(what: str, number: float, at_least: float) -> str:
    """Return the reason for a null: `too few decided events: 3 of at least 20`."""
    return f"too few {what}: {number:.4g} of at least {at_least:.4g}"


def two_sided_p(z: float) -> float:
    """Return the probability of a normal value at least as far from 0 as `z`."""
    return erfc(abs(z) / sqrt(2))


def direction(slope: float, p_value: float) -> Literal["rising", "falling", "none"]:
    """Name where a slope goes, `none` when its p-value is not below 0.05."""
    if p_value >= 0.05 or slope == 0:
        return "none"
    return "rising" if slope > 0 else "falling"
