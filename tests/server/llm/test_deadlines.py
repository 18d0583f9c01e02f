import asyncio
from contextlib import aclosing

import pytest

from server.llm.deadlines import within_deadlines
from server.llm.pacing import TimingWheel
from server.llm.port import Finish, TextDelta, UpstreamError


def limited(events, first_s=20.0, inter_s=20.0):
    return within_deadlines(events, first_token_timeout_s=first_s, inter_token_timeout_s=inter_s)


async def test_the_time_of_the_consumer_does_not_count():
    async def events():
        for _ in range(3):
            yield TextDelta("x")
        yield Finish("stop")

    seen = []
    async for event in limited(events(), 0.001, 0.001):
        seen.append(event)
        await asyncio.sleep(0.01)
    assert seen == [TextDelta("x")] * 3 + [Finish("stop")]


async def test_the_time_between_two_turns_does_not_count():
    gathered = []

    async def events():
        for text in "abc":
            gathered.append(text)
            yield TextDelta(text)
        yield Finish("stop")

    paced = within_deadlines(
        events(), first_token_timeout_s=20, inter_token_timeout_s=0.001, pace=TimingWheel(0.05)
    )
    looks = []
    began = asyncio.get_running_loop().time()
    async for event in paced:
        looks.append((event, len(gathered)))
    # Nothing is pulled ahead of its turn, and the waits for three turns outlast the deadline.
    assert [number for _, number in looks] == [1, 2, 3, 3]
    assert asyncio.get_running_loop().time() - began > 0.1


async def test_nobody_waits_behind_the_last_text():
    async def events():
        yield TextDelta("a")
        yield TextDelta("b", is_last=True)
        yield Finish("stop")

    wheel = TimingWheel(30)
    paced = within_deadlines(
        events(), first_token_timeout_s=20, inter_token_timeout_s=20, pace=wheel
    )
    assert await anext(paced) == TextDelta("a")
    following = asyncio.create_task(anext(paced))
    await asyncio.sleep(0.01)
    assert not following.done()
    for waiting in wheel._slots.values():
        waiting[0].set_result(None)
    assert await following == TextDelta("b", is_last=True)
    async with asyncio.timeout(5):
        assert [event async for event in paced] == [Finish("stop")]


@pytest.mark.parametrize(("texts", "message"), [(0, "no first token"), (2, "no further token")])
async def test_the_deadline_closes_the_stream(texts, message):
    closed = []

    async def events():
        try:
            for _ in range(texts):
                yield TextDelta("x")
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    seen = []

    async def read():
        async for event in limited(events(), 0.01, 0.01):
            seen.append(event)

    with pytest.raises(UpstreamError, match=message) as caught:
        await read()
    assert caught.value.kind == "timeout"
    assert len(seen) == texts
    assert closed == [True]


async def test_closing_closes_the_stream():
    closed = []

    async def events():
        try:
            yield TextDelta("x")
        finally:
            closed.append(True)

    async with aclosing(limited(events())) as stream:
        await anext(stream)
    assert closed == [True]
