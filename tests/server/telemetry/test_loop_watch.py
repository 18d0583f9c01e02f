"""Who holds up the event loop is counted, and named when it lasts."""

import asyncio
import contextlib
import time

import pytest
from structlog.testing import capture_logs

from server.telemetry import loop_watch
from server.telemetry.loop_watch import LoopWatch
from server.telemetry.metrics import Metrics

WAIT_S = 20.0


def hold_the_loop(seconds):
    time.sleep(seconds)


@contextlib.contextmanager
def watching():
    """The metrics and the log of a watch over the running loop."""
    metrics = Metrics()
    with capture_logs() as lines, contextlib.closing(LoopWatch(metrics)) as watch:
        watch.start()
        yield metrics, lines


def value(metrics, name):
    [line] = [one for one in metrics.render().decode().splitlines() if one.startswith(f"{name} ")]
    return float(line.split()[1])


async def until(check):
    deadline = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_short_hold_is_counted_and_not_told():
    with watching() as (metrics, lines):
        hold_the_loop(0.2)
        await until(lambda: value(metrics, "manicule_event_loop_blocked_total") >= 1)
        assert value(metrics, "manicule_event_loop_lag_seconds_sum") >= 0.1
    assert [line for line in lines if line["event"] == "event_loop_blocked"] == []


async def test_a_long_hold_is_told_once_with_who_it_is_and_while_it_lasts(monkeypatch):
    monkeypatch.setattr(loop_watch, "STACK_S", 0.5)
    with watching() as (metrics, lines):
        told = asyncio.get_running_loop().run_in_executor(None, wait_for_a_line, lines)
        await asyncio.sleep(0.1)
        hold_the_loop(3)
        assert await told < 3
        await until(lambda: value(metrics, "manicule_event_loop_blocked_total") >= 1)
    [line] = [line for line in lines if line["event"] == "event_loop_blocked"]
    assert 0.5 <= line["seconds"] < 3
    assert line["log_level"] == "error"
    assert line["stack"][-1].endswith("in hold_the_loop")
    assert __file__ in line["stack"][-1]
    assert len(line["stack"]) <= loop_watch.MAX_FRAMES


def wait_for_a_line(lines):
    """Seconds until the watch has told something."""
    began = time.monotonic()
    while not any(line["event"] == "event_loop_blocked" for line in lines):
        assert time.monotonic() - began < WAIT_S
        time.sleep(0.01)
    return time.monotonic() - began


async def test_the_thread_ends_with_the_watch():
    with watching():
        watch = LoopWatch(Metrics())
        watch.start()
        assert watch._thread.is_alive()
        watch.close()
        assert not watch._thread.is_alive()


@pytest.mark.parametrize("depth", [3, 100])
def test_the_innermost_frames_are_described_from_the_outside_in(depth):
    def dive(left):
        import sys

        return loop_watch._describe(sys._getframe()) if left == 0 else dive(left - 1)

    stack = dive(depth)
    assert len(stack) <= loop_watch.MAX_FRAMES
    assert [line.rsplit(" ", 1)[1] for line in stack[-3:]] == ["dive"] * 3
