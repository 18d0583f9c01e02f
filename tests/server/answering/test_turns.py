"""Turns: so many begin in one iteration of the loop, the others in order, and nobody twice."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iterations import Iterations

from server.answering.turns import WAITING_FOR_ONE_MORE, Turns


async def begin(turns, iterations, index, begun):
    await turns.take()
    begun.append((index, iterations.number))


@given(at_once=st.integers(1, 5), callers=st.integers(0, 150))
def test_some_begin_in_each_iteration_in_their_order(at_once, callers):
    async def run():
        turns, iterations, begun = Turns(at_once), Iterations(), []
        await asyncio.gather(*(begin(turns, iterations, one, begun) for one in range(callers)))
        iterations.close()
        return begun

    begun = asyncio.run(run())
    assert [index for index, _ in begun] == list(range(callers))
    of_iteration = Counter(number for _, number in begun)
    left = callers
    for which, number in enumerate(sorted(of_iteration)):
        more = left // WAITING_FOR_ONE_MORE if which else 0  # nobody waits yet in the first
        assert of_iteration[number] == min(left, at_once + more)
        left -= of_iteration[number]
    # No iteration is left out, but for the one in which those are woken that waited first.
    assert max(of_iteration, default=0) - min(of_iteration, default=0) <= len(of_iteration)


async def test_few_do_not_wait():
    turns = Turns(2)
    for _ in range(2):
        with pytest.raises(StopIteration):  # it ends in its first step
            turns.take().send(None)
    waiting = turns.take()
    assert waiting.send(None) is not None
    waiting.close()


async def test_who_comes_later_does_not_overtake():
    turns, iterations, begun = Turns(1), Iterations(), []
    first = [asyncio.create_task(begin(turns, iterations, one, begun)) for one in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    await begin(turns, iterations, "late", begun)
    await asyncio.gather(*first)
    iterations.close()
    assert [index for index, _ in begun] == [0, 1, 2, 3, 4, "late"]


async def test_who_stops_waiting_holds_up_nobody():
    turns, iterations, begun = Turns(1), Iterations(), []
    tasks = [asyncio.create_task(begin(turns, iterations, one, begun)) for one in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    iterations.close()
    assert [index for index, _ in begun] == [0, 3]


async def test_calls_and_coroutines_share_the_turns():
    turns, iterations, begun = Turns(1), Iterations(), []
    turns.give(lambda: begun.append(("now", iterations.number)))
    assert begun == [("now", 0)]
    turns.give(lambda: begun.append(("call", iterations.number)))
    await begin(turns, iterations, "task", begun)
    iterations.close()
    assert [name for name, _ in begun] == ["now", "call", "task"]
    assert len({number for _, number in begun}) == 3


async def test_the_loop_rests_when_nobody_waits(monkeypatch):
    turns, iterations, begun = Turns(1), Iterations(), []
    await asyncio.gather(*(begin(turns, iterations, one, begun) for one in range(3)))
    iterations.close()
    await asyncio.sleep(0.01)
    scheduled = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(turns, "_next_iteration", lambda: scheduled.append(loop.time()))
    await asyncio.sleep(0.01)
    assert scheduled == []
    await turns.take()  # and wakes when somebody comes
    await asyncio.sleep(0.01)
    assert len(scheduled) == 1
