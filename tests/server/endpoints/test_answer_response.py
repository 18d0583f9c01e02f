"""The response that streams an answer, on the ASGI interface itself."""

import asyncio

from rig import Rig, Told
from starlette.types import Message

from protocol.messages import ResponseCreate
from protocol.positions import BEFORE_ALL
from server.endpoints.responses import AnswerResponse

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def respond(rig, receive, send):
    answer = rig.answering.start(ResponseCreate(input="How?", product_id="td-17"))
    await AnswerResponse(answer.topic, BEFORE_ALL)(SCOPE, receive, send)
    assert not answer.topic.readers
    await rig.answering.wait_for_all()
    return answer


async def test_a_client_that_was_gone_before_the_first_byte_stops_the_answer():
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    sent = []

    async def send(message):
        sent.append(message)

    async with Rig(Told("a", asyncio.Event()), grace_s=0.01) as rig:
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

    async with Rig(Told("a", asyncio.Event()), grace_s=0.01) as rig:
        async with asyncio.timeout(20):
            await respond(rig, receive, send)
        assert not rig.answering.running


async def test_a_slow_client_holds_back_only_its_own_reading():
    taken = asyncio.Semaphore(0)
    body = []

    async def receive() -> Message:
        await asyncio.Event().wait()

    async def send(message):
        if message["type"] == "http.response.body":
            await taken.acquire()
            body.append(message["body"])

    text = "word " * 40_000
    async with Rig(Told(text)) as rig:
        answer = rig.answering.start(ResponseCreate(input="How?", product_id="td-17"))
        response = AnswerResponse(answer.topic, BEFORE_ALL)
        sending = asyncio.create_task(response(SCOPE, receive, send))
        await answer.done.wait()  # although nobody has taken a byte
        for _ in range(1000):
            taken.release()
        async with asyncio.timeout(20):
            await sending
        assert b"".join(body).count(b"event: response.completed") == 1
