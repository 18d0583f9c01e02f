"""The breaker of a model: every step is in its table, and what it promises for any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm.breaker import (
    BREAKER_TRANSITIONS,
    MAX_PROBE_S,
    MIN_FAILURES,
    PROBE_S,
    WINDOW_CALLS,
    WINDOW_S,
    Breaker,
    BreakerState,
)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(MIN_FAILURES):
        breaker.failed(breaker.begin(now), now)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_the_table_leaves_no_state_without_a_way_on():
    assert {state for state, _ in BREAKER_TRANSITIONS} == set(BreakerState)
    assert set(BREAKER_TRANSITIONS.values()) == set(BreakerState)


def test_f51_opens_after_a_few_failures_and_then_lets_nobody_through():
    breaker = Breaker()
    for number in range(MIN_FAILURES):
        assert breaker.wait_s(number) == 0
        breaker.failed(breaker.begin(number), number)
    assert breaker.wait_s(MIN_FAILURES - 1) == PROBE_S


def test_few_failures_among_many_answers_do_not_open_it():
    breaker = Breaker()
    for number in range(WINDOW_CALLS * 5):
        permit = breaker.begin(number / 10)
        if number % 3:
            breaker.answered(permit, number / 10)
        else:
            breaker.failed(permit, number / 10)
    assert breaker.state is BreakerState.CLOSED


def test_old_failures_do_not_count():
    breaker = Breaker()
    for number in range(20):
        now = number * 1.01 * WINDOW_S / (MIN_FAILURES - 1)
        breaker.failed(breaker.begin(now), now)
    assert breaker.state is BreakerState.CLOSED


def test_one_probe_at_a_time_closes_it():
    breaker = opened()
    assert breaker.begin(1.0) == "probe"
    assert breaker.wait_s(1.5) > 0
    assert breaker.wait_s(100.0) > 0, "the probe still runs"
    breaker.answered("probe", 1.6)
    assert breaker.wait_s(1.6) == 0
    breaker.failed(breaker.begin(2), 2)
    assert breaker.state is BreakerState.CLOSED, "what was before is forgotten"


def test_failed_probes_come_less_and_less_often_up_to_a_limit():
    breaker, now, waits = opened(), 0.0, []
    for _ in range(7):
        wait_s = breaker.wait_s(now)
        waits.append(wait_s)
        now += wait_s
        breaker.failed(breaker.begin(now), now)
    assert waits == [1, 2, 4, 8, 16, 16, 16]
    assert waits[-1] == MAX_PROBE_S


def test_a_probe_that_was_left_frees_the_next_one_a_second_later():
    breaker = opened()
    breaker.begin(1.0)
    breaker.left("probe")
    assert breaker.wait_s(1.2) == pytest.approx(0.8)
    assert breaker.begin(2.0) == "probe"


def test_calls_from_before_it_opened_change_nothing():
    breaker = opened()
    breaker.answered("call", 0.5)
    breaker.failed("call", 0.5)
    breaker.left("call")
    assert breaker.state is BreakerState.OPEN
    assert breaker.wait_s(1.0) == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "answered", "failed", "left"]), st.floats(0, 3)),
    max_size=200,
)


@given(STEPS)
def test_f51_any_history_keeps_the_promises(steps):
    """At most one probe at a time and one a second; no call while open; every wait ends."""
    breaker, now, running, probes = Breaker(), 0.0, [], []
    for step, passed_s in steps:
        now += passed_s
        if step == "begin" and breaker.wait_s(now) == 0:
            permit = breaker.begin(now)
            running.append(permit)
            if permit == "probe":
                assert not probes or now - probes[-1] >= PROBE_S
                probes.append(now)
        elif step != "begin" and running:
            permit = running.pop(0)
            if step == "left":
                breaker.left(permit)
            else:
                getattr(breaker, step)(permit, now)
        assert running.count("probe") <= 1
        assert (breaker.state is BreakerState.HALF_OPEN) == ("probe" in running)
        wait_s = breaker.wait_s(now)
        assert (wait_s == 0) or breaker.state is not BreakerState.CLOSED
        if breaker.state is BreakerState.OPEN:
            assert wait_s <= MAX_PROBE_S
            assert breaker.wait_s(now + wait_s + 1e-6) == 0
