from __future__ import annotations

from server.storage.breaker import Breaker, BreakerState


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def opened(**options):
    clock = Clock()
    breaker = Breaker(clock, **options)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    return breaker, clock


def test_opens_after_failures_in_a_row():
    breaker = Breaker(Clock())
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows()


def test_opens_at_once_when_told():
    breaker = Breaker(Clock())
    breaker.failed(at_once=True)
    assert not breaker.allows()


def test_lets_one_try_after_cooling():
    breaker, clock = opened()
    clock.now = 0.49
    assert not breaker.allows()
    clock.now = 0.5
    assert breaker.allows()
    assert breaker.state is BreakerState.TRYING
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_failed_tries_wait_longer_up_to_a_limit():
    breaker, clock = opened()
    waits = []
    for _ in range(6):
        before = clock.now
        while not breaker.allows():
            clock.now += 0.25
        waits.append(clock.now - before)
        breaker.failed()
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_late_failures_of_old_calls_do_not_prolong_it():
    breaker, clock = opened()
    clock.now = 0.4
    breaker.failed()
    clock.now = 0.5
    assert breaker.allows()


def test_an_abandoned_try_leaves_the_next_one_free():
    breaker, clock = opened()
    clock.now = 0.5
    assert breaker.allows()
    breaker.abandoned()
    assert breaker.allows()


def test_recovery_forgets_the_long_waits():
    breaker, clock = opened()
    clock.now = 0.5
    assert breaker.allows()
    breaker.failed()
    clock.now = 1.5
    assert breaker.allows()
    breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    clock.now = 2.0
    assert breaker.allows()
