"""A silent stream shows that it lives, and loses nothing by it."""

import asyncio

import pytest

from server.endpoints.keep_alive import COMMENT, with_keep_alive


async def test_a_silent_stream_has_comments_and_every_event_once():
    gates = [asyncio.Event() for _ in range(3)]
    closed = asyncio.Event()

    async def events():
        try:
            for number, gate in enumerate(gates):
                await gate.wait()
                yield f"data: {number}\n\n"
        finally:
            closed.set()

    heard = []
    gates[0].set()
    async for text in with_keep_alive(events(), 0.01):
        heard.append(text)
        if heard.count(COMMENT) == 3:
            gates[1].set()
        if heard.count(COMMENT) == 5:
            gates[2].set()
    assert [text for text in heard if text != COMMENT] == [f"data: {n}\n\n" for n in range(3)]
    assert heard[0] == "data: 0\n\n"
    assert heard.count(COMMENT) >= 5
    assert closed.is_set()


async def test_a_busy_stream_has_none():
    async def events():
        for number in range(100):
            yield str(number)

    assert [text async for text in with_keep_alive(events(), 20)] == [str(n) for n in range(100)]


async def test_a_reader_that_leaves_ends_the_wait():
    ended = asyncio.Event()

    async def events():
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            ended.set()

    stream = with_keep_alive(events(), 0.01)
    assert await anext(stream) == COMMENT
    await stream.aclose()
    assert ended.is_set()


async def test_an_error_of_the_stream_is_its_readers():
    async def events():
        yield "one"
        raise OSError("lost")

    stream = with_keep_alive(events())
    assert await anext(stream) == "one"
    with pytest.raises(OSError, match="lost"):
        await anext(stream)


async def test_a_stream_that_may_not_go_on_ends_while_it_is_silent():
    allowed = [True, True, False]

    async def events():
        yield "one"
        await asyncio.Event().wait()

    stream = with_keep_alive(events(), 0.01, lambda: allowed.pop(0))
    assert [text async for text in stream] == ["one", COMMENT]
