"""Acceptance over days or weeks, and whether it moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import Literal

from server.insights.acceptance import counts_of, decided, group_of, merge
from server.insights.intervals import MIN_DECIDED, direction, rate, rating, too_few, two_sided_p
from server.insights.results import Point, Trend, TrendTest
from server.storage.store import Tally

Every = Literal["day", "week"]

MAX_DAYS = 3660
"""Ten years: a longer range is a mistake in a query and would fill memory with empty days."""
LATEST_MS = 253_370_764_800_000
"""The start of the year 9999: a day after a day below it is still a date."""
MIN_PERIODS = 3
"""Two periods with events make a difference, not a trend."""
MIN_EACH = 5.0
"""The test's normal approximation wants as many accepted and as many rejected events."""


def day_of(time_ms: int) -> date:
    """Return the UTC day of a time in Unix milliseconds; `ValueError` outside 1970 to 9998."""
    if not 0 <= time_ms < LATEST_MS:
        raise ValueError("a time is in Unix milliseconds, from 1970 on")
    return datetime.fromtimestamp(time_ms / 1000, UTC).date()


def start_of(day: date) -> int:
    """Return when a UTC day starts, in Unix milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def trend_of(by_day: Sequence[Tally], first: date, last: date, every: Every = "day") -> Trend:
    """Return the trend from `first` to `last`, both included, of tallies keyed by ISO date (UTC).

    Every day is there, with zeros where nothing was judged; days outside the range are left out.
    Weeks start on Monday; the first and last are as long as the range leaves them.
    Raises `ValueError` for a range that ends before it starts or is over `MAX_DAYS` long.
    """
    length = (last - first).days + 1
    if not 1 <= length <= MAX_DAYS:
        raise ValueError(f"a trend covers 1 to {MAX_DAYS} days, not {length}")
    days: dict[str, list[Tally]] = {}
    for tally in by_day:
        days.setdefault(tally.key[0], []).append(tally)
    periods: dict[date, list[Tally]] = {}
    lengths: dict[date, int] = {}
    for day in (first + timedelta(days=index) for index in range(length)):
        start = day if every == "day" else max(first, day - timedelta(days=day.weekday()))
        periods.setdefault(start, []).extend(days.get(day.isoformat(), ()))
        lengths[start] = lengths.get(start, 0) + 1
    sums = [merge(tallies) for tallies in periods.values()]
    return Trend(
        every=every,
        points=tuple(
            _point(start, lengths[start], tally) for start, tally in zip(periods, sums, strict=True)
        ),
        overall=group_of(merge(sums)),
        test=cochran_armitage(
            [(tally.accepted + tally.modified, decided(tally)) for tally in sums]
        ),
    )


def cochran_armitage(periods: Sequence[tuple[float, float]]) -> TrendTest:
    """Test whether the share of successes rises or falls over `(successes, trials)` of periods.

    Cochran (1954) and Armitage (1955), scores 0, 1, 2, ..., normal approximation, two-sided. Null
    with a reason under 20 trials, under 3 periods with trials, or under 5 successes or failures.
    """
    trials = sum(number for _, number in periods)
    successes = sum(number for number, _ in periods)
    spread = sum(1 for _, number in periods if number > 0)
    reason = _why_untestable(successes, trials, spread)
    if reason:
        return TrendTest(direction=None, slope=None, p_value=None, reason=reason)
    share = successes / trials
    centre = sum(index * number for index, (_, number) in enumerate(periods)) / trials
    moment = sum(number * (index - centre) ** 2 for index, (_, number) in enumerate(periods))
    lean = sum(
        (index - centre) * (hits - number * share) for index, (hits, number) in enumerate(periods)
    )
    p_value = two_sided_p(lean / sqrt(share * (1 - share) * moment))
    slope = lean / moment
    return TrendTest(direction=direction(slope, p_value), slope=slope, p_value=p_value)


def _why_untestable(successes: float, trials: float, periods: int) -> str | None:
    if trials < MIN_DECIDED:
        return too_few("decided events", trials, MIN_DECIDED)
    if periods < MIN_PERIODS:
        return too_few("periods with decided events", periods, MIN_PERIODS)
    if successes < MIN_EACH:
        return too_few("accepted events", successes, MIN_EACH)
    if trials - successes < MIN_EACH:
        return too_few("rejected events", trials - successes, MIN_EACH)
    return None


def _point(start: date, days: int, tally: Tally) -> Point:
    return Point(
        start=start.isoformat(),
        days=days,
        counts=counts_of(tally),
        acceptance_rate=rate(tally.accepted + tally.modified, decided(tally)),
        accepted_only_rate=rate(tally.accepted, decided(tally)),
        rating=rating(tally.score_sum, tally.rated),
    )
