"""Motion, not every page."""

from server.answering.progress import MIN_INTERVAL_S, ProgressGate
from server.manuals.library import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_first_last_and_at_most_ten_a_second_between():
    clock, told = Clock(), []
    gate = ProgressGate(told.append, clock)
    for page in range(1, 1001):
        gate(Progress("extracting", page, 1000))
        clock.now += 0.001
    assert told[0].done == 1
    assert told[-1].done == 1000
    assert 10 <= len(told) <= 12


def test_a_new_stage_is_told_at_once():
    clock, told = Clock(), []
    gate = ProgressGate(told.append, clock)
    gate(Progress("fetching", 1, None))
    gate(Progress("fetching", 2, None))
    gate(Progress("extracting", 1, 9))
    gate(Progress("extracting", 2, 9))
    clock.now += MIN_INTERVAL_S
    gate(Progress("extracting", 3, 9))
    assert [(one.stage, one.done) for one in told] == [
        ("fetching", 1),
        ("extracting", 1),
        ("extracting", 3),
    ]
