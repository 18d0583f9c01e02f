"""Days without gaps, weeks from Monday, and a test for trend held against two oracles."""

import random
from datetime import date, timedelta
from fractions import Fraction
from itertools import product
from math import comb, erfc, sqrt
from statistics import correlation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.insights.trends import cochran_armitage, day_of, start_of, trend_of
from server.storage.store import Tally

FIRST = date(2026, 11, 4)  # a Wednesday


def test_days_without_events_are_there_with_zeros():
    trend = trend_of([Tally(("2026-11-06",), accepted=3)], FIRST, date(2026, 11, 7))
    assert [point.start for point in trend.points] == [
        "2026-11-04", "2026-11-05", "2026-11-06", "2026-11-07",
    ]  # fmt: skip
    assert [point.counts.accepted for point in trend.points] == [0, 0, 3, 0]
    assert trend.points[0].acceptance_rate.value is None
    assert trend.points[0].acceptance_rate.reason == "too few decided events: 0 of at least 20"


def test_weeks_start_on_monday_and_the_ends_say_how_long_they_are():
    days = [Tally(((FIRST + timedelta(days=index)).isoformat(),), 1) for index in range(15)]
    trend = trend_of(days, FIRST, FIRST + timedelta(days=14), "week")
    assert [(point.start, point.days) for point in trend.points] == [
        ("2026-11-04", 5), ("2026-11-09", 7), ("2026-11-16", 3),
    ]  # fmt: skip
    assert [point.counts.decided for point in trend.points] == [5, 7, 3]


def test_what_lies_outside_the_range_is_left_out():
    trend = trend_of([Tally(("2026-11-03",), 5), Tally(("2026-11-05",), 7)], FIRST, FIRST)
    assert trend.overall.counts.decided == 0


@pytest.mark.parametrize("last", [FIRST - timedelta(days=1), FIRST + timedelta(days=3660)])
def test_an_empty_or_endless_range_is_refused(last):
    with pytest.raises(ValueError, match="a trend covers"):
        trend_of([], FIRST, last)


@pytest.mark.parametrize("time_ms", [-1, 10**18])
def test_times_that_are_no_day_are_refused(time_ms):
    with pytest.raises(ValueError, match="milliseconds"):
        day_of(time_ms)


@given(st.dates(date(1970, 1, 1), date(9998, 12, 31)))
def test_a_day_starts_at_its_first_millisecond(day):
    assert day_of(start_of(day)) == day
    assert day_of(start_of(day) + 86_399_999) == day


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=40),
    st.sampled_from(["day", "week"]),
)
def test_periods_sum_to_the_whole(days, every):
    tallies = [
        Tally(((FIRST + timedelta(days=index)).isoformat(),), accepted=yes, rejected=no)
        for index, (yes, no) in enumerate(days)
    ]
    trend = trend_of(tallies, FIRST, FIRST + timedelta(days=len(days) - 1), every)
    assert sum(point.counts.decided for point in trend.points) == trend.overall.counts.decided
    assert sum(point.days for point in trend.points) == len(days)
    assert (trend.test.p_value is None) == (trend.test.reason is not None)


def test_no_trend_is_tested_where_there_is_too_little():
    assert cochran_armitage([(1, 2), (3, 4), (5, 6)]).reason == (
        "too few decided events: 12 of at least 20"
    )
    assert "periods" in str(cochran_armitage([(20, 50), (0, 0), (30, 50)]).reason)
    assert "accepted" in str(cochran_armitage([(1, 50), (1, 50), (1, 50)]).reason)
    assert "rejected" in str(cochran_armitage([(50, 50), (50, 50), (50, 50)]).reason)


def test_the_published_example_with_equal_scores():
    # Agresti, Categorical Data Analysis, alcohol and malformation: M^2 = 1.83 with scores 1 to 5,
    # M^2 = (n - 1) r^2, ours n r^2.
    table = [(48, 17114), (38, 14502), (5, 793), (1, 127), (1, 38)]
    found = cochran_armitage(table)
    assert found.p_value == pytest.approx(erfc(sqrt(1.83 / 2)), abs=0.001)
    assert found.direction == "none"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=8))
def test_the_statistic_is_n_times_the_squared_correlation(days):
    table = [(yes, yes + no) for yes, no in days]
    found = cochran_armitage(table)
    if found.reason:
        return
    outcomes = [
        (float(index), float(hit))
        for index, (yes, trials) in enumerate(table)
        for hit in [1] * yes + [0] * (trials - yes)
    ]
    r = correlation(*zip(*outcomes, strict=True))
    assert found.p_value == pytest.approx(erfc(sqrt(len(outcomes) * r * r / 2)), abs=1e-9)
    assert (found.slope > 0) == (r > 0) or abs(r) < 1e-9


def test_the_normal_p_value_is_near_the_exact_one():
    table = [(2, 10), (4, 10), (6, 10), (8, 10)]
    totals = [trials for _, trials in table]
    successes = sum(yes for yes, _ in table)
    seen = sum(index * yes for index, (yes, _) in enumerate(table))
    centre = Fraction(successes, 40) * sum(index * trials for index, trials in enumerate(totals))
    exact = Fraction(0)
    for hits in product(*(range(trials + 1) for trials in totals)):
        far = abs(sum(index * hit for index, hit in enumerate(hits)) - centre)
        if sum(hits) == successes and far >= abs(seen - centre):
            ways = 1
            for trials, hit in zip(totals, hits, strict=True):
                ways *= comb(trials, hit)
            exact += Fraction(ways, comb(40, successes))
    found = cochran_armitage(table)
    assert found.direction == "rising"
    assert found.slope == pytest.approx(0.2)
    assert found.p_value == pytest.approx(float(exact), rel=0.6)
    assert float(exact) < 0.01


def test_a_mirrored_trend_falls_with_the_same_p_value():
    table = [(30, 100), (40, 100), (50, 100), (60, 100)]
    up, down = cochran_armitage(table), cochran_armitage(table[::-1])
    assert (up.direction, down.direction) == ("rising", "falling")
    assert down.p_value == pytest.approx(up.p_value)
    assert down.slope == pytest.approx(-up.slope)


def test_no_movement_is_called_a_trend_five_times_in_a_hundred():
    dice = random.Random(17)
    alarms = 0
    for _ in range(1000):
        table = [(sum(dice.random() < 0.7 for _ in range(25)), 25) for _ in range(14)]
        alarms += cochran_armitage(table).direction != "none"
    assert 30 <= alarms <= 70
