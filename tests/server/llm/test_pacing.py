"""One timing wheel for all streams, on a loop whose time the test moves."""

import asyncio

import pytest

from server.llm.pacing import (
    INTERVAL_S,
    LATE_S,
    MAX_INTERVAL_S,
    PERIOD_S,
    SLOT_S,
    TimingWheel,
)


class ManualTime(asyncio.SelectorEventLoop):
    """A loop whose clock stands still but for what the test adds."""

    def __init__(self):
        self.now = 1000.0
        super().__init__()

    def time(self):
        return self.now


@pytest.fixture
def loop():
    loop = ManualTime()
    yield loop
    loop.close()


def go_on(loop, by_s=0.0):
    """Move the clock and let what is due run, with what that makes ready."""
    loop.now += by_s
    for _ in range(2):
        loop.call_soon(loop.stop)
        loop.run_forever()


def enter(loop, wheel, turns, name="one"):
    """Take a turn; note when it has come."""

    def enter_now():
        wheel.turn().add_done_callback(lambda _: turns.append((name, loop.now)))

    loop.call_soon(enter_now)
    go_on(loop)


def test_a_turn_comes_an_interval_later_and_once(loop):
    wheel, turns = TimingWheel(), []
    enter(loop, wheel, turns)
    go_on(loop, INTERVAL_S - 2 * SLOT_S)
    assert turns == []
    go_on(loop, 2 * SLOT_S)
    assert len(turns) == 1
    go_on(loop, 10 * INTERVAL_S)
    assert len(turns) == 1


def test_turns_of_one_slot_come_together_and_those_of_another_do_not(loop):
    wheel, turns = TimingWheel(), []
    enter(loop, wheel, turns, "first")
    enter(loop, wheel, turns, "second")
    go_on(loop, INTERVAL_S / 2)
    enter(loop, wheel, turns, "third")
    go_on(loop, INTERVAL_S / 2)
    assert [name for name, _ in turns] == ["first", "second"]
    go_on(loop, INTERVAL_S)
    assert [name for name, _ in turns] == ["first", "second", "third"]


def test_who_has_gone_away_is_passed_over(loop):
    wheel, turns = TimingWheel(), []
    gone = []
    loop.call_soon(lambda: gone.append(wheel.turn()))
    go_on(loop)
    gone[0].cancel()
    enter(loop, wheel, turns)
    go_on(loop, INTERVAL_S)
    assert len(turns) == 1


def intervals_when_late(loop, wheel, late_s, seconds):
    """Run a stream whose slots come `late_s` late; return the intervals meanwhile."""
    seen, turns = [], []
    end = loop.now + seconds
    while loop.now < end:
        enter(loop, wheel, turns)
        go_on(loop, wheel.interval_s + late_s)
        seen.append(wheel.interval_s)
    return seen


def test_the_interval_widens_under_load_up_to_its_end_and_comes_back(loop):
    wheel = TimingWheel()
    under_load = intervals_when_late(loop, wheel, LATE_S + SLOT_S, 5.0)
    assert under_load == sorted(under_load)
    assert under_load[-1] == MAX_INTERVAL_S
    after_it = intervals_when_late(loop, wheel, 0.0, 5.0)
    assert after_it[-1] == INTERVAL_S


def test_one_hiccup_moves_the_interval_by_one_step_at_most(loop):
    wheel = TimingWheel()
    intervals_when_late(loop, wheel, 0.0, 1.0)
    [widened] = intervals_when_late(loop, wheel, PERIOD_S, PERIOD_S)
    assert widened <= INTERVAL_S * 1.15 + 1e-9


def test_an_interval_beyond_the_usual_end_stays_as_it_was_set(loop):
    wheel = TimingWheel(0.5)
    assert set(intervals_when_late(loop, wheel, 1.0, 10.0)) == {0.5}
