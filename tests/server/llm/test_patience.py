"""A limit for each of many waits, without a timer for each."""

import asyncio
from contextlib import closing

import pytest

from server.llm.patience import Patience

SHORT_S = 0.02
LONG_S = 20.0


def soon():
    return asyncio.get_running_loop().time() + SHORT_S


def later():
    return asyncio.get_running_loop().time() + LONG_S


async def test_a_wait_that_is_too_long_is_cancelled_and_told():
    with closing(Patience()) as patience:
        patience.begin(soon())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)
        assert patience.ran_out()
    assert not asyncio.current_task().cancelling()
    await asyncio.sleep(0)  # the task may go on waiting


async def test_waits_that_keep_their_limit_are_left_alone_however_many():
    with closing(Patience()) as patience:
        for _ in range(20):  # together ten times the limit
            patience.begin(soon())
            await asyncio.sleep(SHORT_S / 2)
            patience.end()
        assert not patience.ran_out()


async def test_what_happens_between_two_waits_does_not_count():
    with closing(Patience()) as patience:
        patience.begin(soon())
        patience.end()
        await asyncio.sleep(3 * SHORT_S)
        patience.begin(later())
        await asyncio.sleep(3 * SHORT_S)
        patience.end()


async def test_a_nearer_limit_counts_before_a_farther_one_that_was_set():
    with closing(Patience()) as patience:
        patience.begin(later())
        patience.end()
        patience.begin(soon())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)
        assert patience.ran_out()


async def test_a_cancellation_by_somebody_else_is_not_ours():
    began = asyncio.Event()
    ours = []

    async def wait():
        with closing(Patience()) as patience:
            patience.begin(later())
            began.set()
            try:
                await asyncio.sleep(LONG_S)
            except asyncio.CancelledError:
                ours.append(patience.ran_out())
                raise

    task = asyncio.create_task(wait())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ours == [False]


async def test_somebody_elses_cancellation_at_the_same_moment_goes_through():
    ours = []

    async def wait():
        with closing(Patience()) as patience:
            patience.begin(asyncio.get_running_loop().time())  # over at once
            asyncio.get_running_loop().call_later(0, task.cancel)
            try:
                await asyncio.sleep(LONG_S)
            except asyncio.CancelledError:
                task.cancel()  # as if it had come before we saw ours
                ours.append(patience.ran_out())
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ours == [False]


async def test_the_next_task_goes_on_where_the_first_has_ended():
    with closing(Patience()) as patience:

        async def wait_shortly():
            patience.begin(later())
            await asyncio.sleep(0)
            patience.end()

        await asyncio.create_task(wait_shortly())
        patience.begin(soon())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)
        assert patience.ran_out()


async def test_after_close_nobody_is_cancelled():
    patience = Patience()
    patience.begin(soon())
    patience.close()
    await asyncio.sleep(3 * SHORT_S)
