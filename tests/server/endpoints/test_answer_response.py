"""The response that streams an answer, on the ASGI interface itself."""

import asyncio

from rig import Rig, Told
from starlette.types import Message

from protocol.messages import ResponseCreate
from server.endpoints.responses import AnswerResponse

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def respond(rig, receive, send):
    events = asyncio.Queue()
    event = ResponseCreate(input="How?", product_id="td-17")
    answer = rig.answering.start(event, events.put_nowait)
    await AnswerResponse(answer, events)(SCOPE, receive, send)
    await rig.answering.wait_for_all()
    return answer


async def test_a_client_that_was_gone_before_the_first_byte_stops_the_answer():
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    sent = []

    async def send(message):
        sent.append(message)

    async with Rig(Told("a", asyncio.Event())) as rig:
        async with asyncio.timeout(20):
            await respond(rig, gone, send)
        assert not rig.answering.running
        assert rig.moved("queries_total", "abandoned", "general") == 1


async def test_a_client_that_goes_while_a_byte_is_sent_stops_the_answer():
    sending = asyncio.Event()

    async def receive() -> Message:
        await sending.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.Event().wait()

    async with Rig(Told("a", asyncio.Event())) as rig:
        async with asyncio.timeout(20):
            await respond(rig, receive, send)
        assert not rig.answering.running
