"""Retries and hedges stay the small part of the requests that they may be, whatever comes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from server.llm.budgets import FREE_RETRIES, RETRY_SHARE, MinuteCount, RetryBudget
from server.llm.hedging import HEDGE_SHARE, MAX_SLOW_SHARE, RECENT_CALLS, Hedging

TIMES = st.lists(st.floats(0, 30), max_size=150)


@given(TIMES)
def test_a_minute_is_counted_by_whole_seconds(gaps):
    count, now, times = MinuteCount(), 1000.0, []
    for gap in gaps:
        now += gap
        count.add(now)
        times.append(now)
        assert count.total(now) == sum(math.floor(at) > math.floor(now) - 60 for at in times)


def test_a_lone_server_may_retry_and_a_busy_one_a_tenth():
    lone = RetryBudget()
    assert [lone.take(0.0) for _ in range(FREE_RETRIES + 1)].count(True) == FREE_RETRIES
    busy = RetryBudget()
    for number in range(1000):
        busy.asked(number / 20)
    assert [busy.take(50.0) for _ in range(1000)].count(True) == 100


def test_the_budget_comes_back_after_a_minute():
    budget = RetryBudget()
    while budget.take(0.0):
        pass
    assert not budget.take(59.0)
    assert budget.take(60.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2)), max_size=400))
def test_f40_retries_of_any_minute_are_a_tenth_or_the_free_ones(steps):
    budget, now, asked, retried = RetryBudget(), 0.0, [], []
    for is_retry, gap in steps:
        now += gap
        if not is_retry:
            budget.asked(now)
            asked.append(now)
        elif budget.take(now):
            retried.append(now)
            requests = sum(math.floor(at) > math.floor(now) - 60 for at in asked)
            retries = sum(math.floor(at) > math.floor(now) - 60 for at in retried)
            assert retries <= max(FREE_RETRIES, RETRY_SHARE * requests)


def test_the_delay_is_the_slowest_twentieth_and_never_under_the_floor():
    hedging = Hedging(0.5)
    assert hedging.asked() == 0.5
    for number in range(100):
        hedging.spoke(number / 100, 0.5)
    assert hedging.asked() == 0.94
    fast = Hedging(0.5)
    for _ in range(100):
        fast.spoke(0.01, 0.5)
    assert fast.asked() == 0.5
    assert Hedging(0).asked() is None


def test_f52_hedging_stops_itself_while_many_are_slow_and_begins_again():
    hedging = Hedging(0.5)
    for _ in range(200):
        hedging.asked()
    for _ in range(RECENT_CALLS):
        hedging.spoke(0.1, 0.5)
    assert hedging.take()
    for _ in range(int(RECENT_CALLS * MAX_SLOW_SHARE) + 1):
        hedging.spoke(5.0, 0.5)
    assert not hedging.take()
    for _ in range(RECENT_CALLS):
        hedging.spoke(0.1, 0.5)
    assert hedging.take()


@given(st.lists(st.sampled_from(["ask", "take", "fast", "slow"]), max_size=600))
def test_f52_hedges_are_a_twentieth_of_the_requests_at_every_moment(steps):
    hedging, asked, hedged, recent = Hedging(0.5), 0, 0, []
    for step in steps:
        if step == "ask":
            hedging.asked()
            asked += 1
        elif step == "take":
            if hedging.take():
                hedged += 1
                slow = recent[-RECENT_CALLS:].count(True)
                assert slow <= MAX_SLOW_SHARE * RECENT_CALLS
        else:
            recent.append(step == "slow")
            hedging.spoke(1.0 if step == "slow" else 0.1, 0.5)
        assert hedged <= HEDGE_SHARE * asked
