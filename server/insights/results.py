"""What the statistics say, as values that become the JSON of the REST calls as they are.

A number that the data cannot carry is null and its `reason` says why. Counts are sums of weights
(a judgement counts 1, or less from a principal over its daily cap), so they may have fractions.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is reported."""


class Rate(Result, frozen=True, kw_only=True):
    """A share between 0 and 1 of `of` events, with its 95 % Wilson interval.

    `value`, `low` and `high` are all null exactly when `reason` is given.
    """

    value: float | None
    low: float | None
    high: float | None
    of: float
    reason: str | None = None


class Rating(Result, frozen=True, kw_only=True):
    """The mean of `count` scores from 1 to 5, with a 95 % interval; null with a reason."""

    mean: float | None
    low: float | None
    high: float | None
    count: int
    reason: str | None = None


class Counts(Result, frozen=True, kw_only=True):
    """How many of each judgement. `decided` is accepted, modified and rejected together."""

    accepted: float = 0
    modified: float = 0
    rejected: float = 0
    decided: float = 0
    dismissed: float = 0
    rated: int = 0


class Group(Result, frozen=True, kw_only=True):
    """The judgements of one group, named by `key`: its fields in the order they were asked for.

    `acceptance_rate` is (accepted + modified) / decided: the answer was of use, if only as a start.
    `accepted_only_rate` is accepted / decided: it was right as it stood.
    """

    key: dict[str, str | None]
    counts: Counts
    acceptance_rate: Rate
    accepted_only_rate: Rate
    rating: Rating


class Acceptance(Result, frozen=True, kw_only=True):
    """Acceptance in all and by group; `left_off` groups, the smallest, are in `overall` only."""

    by: tuple[str, ...]
    overall: Group
    groups: tuple[Group, ...]
    left_off: int = 0
    confidence_level: float = 0.95


class Point(Result, frozen=True, kw_only=True):
    """One day or week of a trend from `start` (ISO date, UTC); `days` of it are in the range."""

    start: str
    days: int
    counts: Counts
    acceptance_rate: Rate
    accepted_only_rate: Rate
    rating: Rating


class TrendTest(Result, frozen=True, kw_only=True):
    """Whether the acceptance rate moved: Cochran and Armitage's test, two-sided.

    `slope` is the change of the rate per period, `direction` is `none` when `p_value` is not below
    0.05. All null when `reason` is given.
    """

    direction: Literal["rising", "falling", "none"] | None
    slope: float | None
    p_value: float | None
    reason: str | None = None


class Trend(Result, frozen=True, kw_only=True):
    """Acceptance over time: every period from the first to the last, those without events too."""

    every: Literal["day", "week"]
    points: tuple[Point, ...]
    overall: Group
    test: TrendTest
    confidence_level: float = 0.95


class UserStats(Result, frozen=True, kw_only=True):
    """One person's judgements: in all, by the type of what was judged, by product, over time."""

    user_id: str
    overall: Group
    by_type: tuple[Group, ...]
    by_product: tuple[Group, ...]
    trend: Trend
    confidence_level: float = 0.95
