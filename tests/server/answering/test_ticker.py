"""One clock for all frames, on a loop whose time the test moves."""

import asyncio

import pytest

from server.answering.ticker import INTERVAL_S, LOAD_FACTOR, MAX_INTERVAL_S, FrameTicker


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


def turn(loop, by_s=0.0):
    """Move the clock and let what is due run."""
    loop.now += by_s
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_marks_are_called_once_at_the_next_tick(loop):
    ticker, calls = FrameTicker(), []

    def start():
        ticker.mark(calls.append_one)
        ticker.mark(calls.append_one)

    class Calls(list):
        def append_one(self):
            self.append(loop.now)

    calls = Calls()
    loop.call_soon(start)
    turn(loop)
    turn(loop, INTERVAL_S * 0.9)
    assert calls == []
    turn(loop, INTERVAL_S * 0.2)
    assert len(calls) == 1
    turn(loop, 10 * INTERVAL_S)
    assert len(calls) == 1


def test_what_is_taken_back_is_not_called(loop):
    ticker, calls = FrameTicker(), []

    def flush():
        calls.append(1)

    def start():
        ticker.mark(flush)
        ticker.unmark(flush)

    loop.call_soon(start)
    turn(loop)
    turn(loop, 1)
    assert calls == []


def test_the_interval_widens_with_the_work_and_narrows_again(loop):
    ticker, ticks = FrameTicker(), []
    work_s = [0.02, 1.0, 0.0, 0.0]

    def flush():
        ticks.append(loop.now)
        if work_s:
            loop.now += work_s.pop(0)
            ticker.mark(flush)

    loop.call_soon(lambda: ticker.mark(flush))
    turn(loop)
    ends = []
    for _ in range(4000):
        before = len(ticks)
        turn(loop, 0.001)
        if len(ticks) > before:
            ends.append(loop.now)
    waits = [start - end for start, end in zip(ticks[1:], ends, strict=False)]
    # A flush that marks itself waits the old interval; the new one holds from the mark after it.
    assert waits[0] == pytest.approx(INTERVAL_S, abs=0.003)
    assert waits[1] == pytest.approx(0.02 * LOAD_FACTOR, abs=0.003)
    assert waits[2] == pytest.approx(MAX_INTERVAL_S, abs=0.003)
    assert waits[3] == pytest.approx(INTERVAL_S, abs=0.003)


def test_one_failing_flush_does_not_hold_back_the_others(loop):
    ticker, calls = FrameTicker(), []

    def fails():
        raise RuntimeError("planted")

    def works():
        calls.append(1)

    def start():
        ticker.mark(fails)
        ticker.mark(works)

    loop.call_soon(start)
    turn(loop)
    turn(loop, 1)
    assert calls == [1]


def test_after_close_nothing_is_called(loop):
    ticker, calls = FrameTicker(), []
    loop.call_soon(lambda: ticker.mark(lambda: calls.append(1)))
    turn(loop)
    loop.call_soon(ticker.close)
    turn(loop)
    turn(loop, 1)
    assert calls == []
