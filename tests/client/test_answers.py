"""Answers as iterators: several at once, typed, cancelled, refused, lost, taken up again."""

import asyncio

import pytest
from told_server import Answering, be_silent, plain, refuse_with, until

import manicule
from manicule import answer as answers
from protocol.events import (
    Limits,
    OutputTextDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseReset,
    ResponseResumed,
)

QUESTION = "How do I reset it?"


def answer_with(*words, resumable=False, end=True):
    """A handler that answers each question with these words, the question first."""

    async def handle(told, socket, event):
        answer = Answering(f"resp_{event['input']}", resumable=resumable)
        await told.send(socket, answer.created(event["event_id"]))
        for word in (event["input"], *words):
            await told.send(socket, answer.delta(word))
            await asyncio.sleep(0)
        if end:
            await told.send(socket, answer.completed(event["input"] + "".join(words)))

    return handle


async def collect(answer):
    return [event async for event in answer]


async def test_events_are_the_protocols_types(told):
    told.on["response.create"] = answer_with(" yes")
    async with manicule.connect(told.url) as client:
        answer = client.ask("q", product_id="td-17", history=[{"role": "user", "content": "x"}])
        with pytest.raises(RuntimeError):
            _ = answer.response
        events = await collect(answer)
        assert [type(event) for event in events] == [
            ResponseCreated, OutputTextDelta, OutputTextDelta, ResponseCompleted
        ]  # fmt: skip
        assert answer.text == answer.response.output_text == "q yes"
        assert (answer.id, answer.is_over) == ("resp_q", True)
        assert await collect(answer) == []
        await answer.cancel()  # too late, and no harm
    [asked] = told.events("response.create")
    assert asked["history"] == [{"role": "user", "content": "x"}]
    assert told.events("response.cancel") == []


async def test_many_answers_at_once_keep_to_themselves(told):
    waiting = []

    async def interleave(told, socket, event):
        waiting.append((Answering(f"resp_{event['input']}"), event))
        if len(waiting) < 8:
            return
        for answer, asked in reversed(waiting):
            await told.send(socket, answer.created(asked["event_id"]))
        for piece in range(20):
            for answer, asked in waiting:
                await told.send(socket, answer.delta(f"{asked['input']}{piece} "))
        for answer, asked in waiting:
            await told.send(
                socket, answer.completed("".join(f"{asked['input']}{p} " for p in range(20)))
            )

    told.on["response.create"] = interleave
    async with manicule.connect(told.url) as client:
        asked = [client.ask(name, product_id="td-17") for name in "abcdefgh"]
        for events in await asyncio.gather(*map(collect, asked)):
            deltas = [e.delta for e in events if isinstance(e, OutputTextDelta)]
            assert "".join(deltas) == events[-1].response.output_text
        assert [answer.response.id for answer in asked] == [f"resp_{name}" for name in "abcdefgh"]


async def test_cancel_waits_for_the_id_and_the_block_cancels_what_runs(told):
    gate = asyncio.Event()

    async def later(told, socket, event):
        async def go_on():
            await gate.wait()
            await answer_with(end=False)(told, socket, event)

        tasks.append(asyncio.create_task(go_on()))

    async def end(told, socket, event):
        await told.send(socket, Answering(event["response_id"]).completed("") | {"epoch": 2})

    tasks = []
    told.on |= {"response.create": later, "response.cancel": end}
    async with manicule.connect(told.url) as client:
        answer = client.ask("one", product_id="td-17")
        cancelling = asyncio.create_task(answer.cancel())
        await until(lambda: tasks)
        assert told.events("response.cancel") == []
        gate.set()
        await cancelling
        assert (await collect(answer))[-1].response.id == "resp_one"
        async with client.ask("two", product_id="td-17") as second:
            async for event in second:
                if isinstance(event, OutputTextDelta):
                    break
        assert [e["response_id"] for e in told.events("response.cancel")] == ["resp_one"]
        await until(lambda: len(told.events("response.cancel")) == 2)
    assert told.events("response.cancel")[1]["response_id"] == "resp_two"


async def test_errors_are_typed(told):
    told.on["response.create"] = refuse_with(
        "rate_limited", retryable=True, retry_after_ms=900, param="input"
    )
    async with manicule.connect(told.url) as client:
        with pytest.raises(manicule.Error) as caught:
            await collect(client.ask("q", product_id="td-17"))
        error = caught.value
        assert (error.code, error.retryable, error.retry_after_ms) == ("rate_limited", True, 900)
        assert (error.param, str(error)) == ("input", "rate_limited: No.")
        told.on["catalog.search"] = refuse_with("invalid_event", retryable=False)
        with pytest.raises(manicule.Error, match="invalid_event"):
            await client.search("td")


async def test_a_connection_that_is_lost_ends_what_ran_on_it(told, sleeps):
    told.on |= {"response.create": answer_with(end=False), "catalog.search": be_silent}
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        running = [client.ask(name, product_id="td-17") for name in "ab"]
        searching = asyncio.create_task(client.search("td"))
        await until(lambda: all(answer.text or answer.position == (1, 1) for answer in running))
        await until(lambda: told.events("catalog.search"))
        await told.connections[0].close(1012, "restart")
        for answer in running:
            with pytest.raises(manicule.ConnectionLostError, match="1012: restart"):
                await collect(answer)
            assert answer.text in "ab"  # what came before is there
        with pytest.raises(manicule.ConnectionLostError):
            await searching
        told.on["response.create"] = answer_with()
        assert (await collect(client.ask("c", product_id="td-17")))[-1].response.output_text == "c"
    assert len(told.connections) == 2


async def test_closing_the_client_ends_its_answers(told):
    told.on["response.create"] = be_silent
    async with manicule.connect(told.url) as client:
        running = client.ask("q", product_id="td-17")
        await until(lambda: told.events("response.create"))
        unsent = client.ask("r", product_id="td-17")
    for answer in (running, unsent):
        with pytest.raises(manicule.ConnectionLostError, match="closed"):
            await collect(answer)


async def test_what_a_newer_server_adds_is_passed_over(told):
    async def newer(told, socket, event):
        answer = Answering("resp_1")
        await told.send(socket, answer.created(event["event_id"]) | {"mood": "good"})
        await told.send(socket, {"type": "response.dreamt", "response_id": "resp_1"})
        await told.send(socket, {"type": "session.sang", "verse": 3})
        item = {"type": "diagram", "id": "i", "offset": 0}
        note = {"type": "pro_tip", "id": "j", "offset": 0, "text": "Save.", "colour": "red"}
        done = answer.delta("") | {"type": "response.output_item.done"}
        await told.send(socket, done | {"item": item})
        await told.send(socket, done | {"item": note, "sequence_number": 5})
        final = answer.completed("x") | {"sequence_number": 6}
        final["response"] |= {"items": [item, note], "stars": 5}
        await told.send(socket, final)

    told.on["response.create"] = newer
    async with manicule.connect(told.url) as client:
        answer = client.ask("q", product_id="td-17")
        assert len(await collect(answer)) == 3
        assert [item.id for item in answer.response.items] == ["j"]
        raw = client.ask("q", product_id="td-17")
        kinds = [obj["type"] async for obj in raw.objects()]
        assert "response.dreamt" in kinds
        assert len(kinds) == 5


async def test_events_that_do_not_fit_are_an_error_of_that_answer(told):
    async def misfit(told, socket, event):
        answer = Answering("resp_1")
        await told.send(socket, answer.created(event["event_id"]))
        await told.send(socket, answer.delta("x") | {"delta": 3})

    told.on["response.create"] = misfit
    async with manicule.connect(told.url) as client:
        with pytest.raises(manicule.Error, match="Compare versions"):
            await collect(client.ask("q", product_id="td-17"))
        assert await client.search("td") == []


async def test_an_answer_that_nobody_reads_is_bounded(told, monkeypatch):
    monkeypatch.setattr(answers, "MAX_UNREAD_BYTES", 2000)
    told.on["response.create"] = answer_with("x" * 1500, "y" * 500, end=False)
    async with manicule.connect(told.url) as client:
        answer = client.ask("q", product_id="td-17")
        await until(lambda: answer.is_over)
        with pytest.raises(manicule.Error, match="overloaded"):
            await collect(answer)
        assert await client.search("td") == []


async def test_what_the_server_would_not_take_is_not_sent(told):
    told.limits = Limits(
        max_frame_bytes=500, max_input_chars=9, max_concurrent_responses=1, requests_per_minute=1
    )
    async with manicule.connect(told.url) as client:
        with pytest.raises(manicule.Error, match="500 bytes") as caught:
            await collect(client.ask("x" * 500, product_id="td-17"))
        assert caught.value.code == "payload_too_large"
        assert await client.search("td") == []
    assert len(told.connections) == 1


# Taken up again


def resuming(*, recovered, final=None, words=("b", "c")):
    """Handlers of a server that keeps answers: all is lost after the first word."""
    started = {}

    async def begin(told, socket, event):
        answer = started["answer"] = Answering("resp_1", resumable=True)
        await told.send(socket, answer.created(event["event_id"]))
        await told.send(socket, answer.delta("a"))
        await socket.close(1012, "restart")

    async def resume(told, socket, event):
        resumed = ResponseResumed(
            response_id="resp_1", recovered=recovered, epoch=1, from_sequence_number=1,
            status="completed",
        )  # fmt: skip
        await told.send(socket, plain(resumed) | ({"response": final} if final else {}))
        if not recovered:
            return
        answer = Answering("resp_1")
        await told.send(socket, answer.created(""))  # two that came before, and are passed over
        await told.send(socket, answer.delta("a"))
        for word in words:
            await told.send(socket, answer.delta(word))
        await told.send(socket, answer.completed("abc"))

    return {"response.create": begin, "response.resume": resume}


async def test_an_answer_that_is_kept_goes_on_after_a_loss(told, sleeps):
    told.on |= resuming(recovered=True)
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        events = await collect(client.ask("q", product_id="td-17"))
    deltas = [event.delta for event in events if isinstance(event, OutputTextDelta)]
    assert deltas == ["a", "b", "c"]
    assert events[-1].response.output_text == "abc"
    [(number, asked)] = [each for each in told.received if each[1]["type"] == "response.resume"]
    assert (number, asked["epoch"], asked["starting_after"]) == (2, 1, 1)


async def test_an_answer_of_which_only_the_end_is_kept(told, sleeps):
    final = Answering("resp_1").completed("whole")["response"]
    told.on |= resuming(recovered=False, final=final)
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        answer = client.ask("q", product_id="td-17")
        assert isinstance((await collect(answer))[-1], ResponseCompleted)
        assert answer.text == "whole"


@pytest.mark.parametrize("how", ["not recovered", "refused"])
async def test_an_answer_that_is_no_longer_kept_is_lost(told, sleeps, how):
    told.on |= resuming(recovered=False)
    if how == "refused":
        told.on["response.resume"] = refuse_with("response_expired", retryable=False)
    async with manicule.connect(told.url, environment=sleeps.environment) as client:
        with pytest.raises(manicule.ConnectionLostError, match="cannot be taken up"):
            await collect(client.ask("q", product_id="td-17"))
        assert await client.search("td") == []


async def test_a_reset_discards_the_text(told):
    async def restart(told, socket, event):
        answer = Answering("resp_1")
        await told.send(socket, answer.created(event["event_id"]))
        await told.send(socket, answer.delta("wrong"))
        reset = ResponseReset(response_id="resp_1", epoch=1, sequence_number=2, reason="owner died")
        await told.send(socket, plain(reset))
        await told.send(socket, answer.delta("right") | {"epoch": 2, "sequence_number": 0})

    told.on["response.create"] = restart
    async with manicule.connect(told.url) as client:
        answer = client.ask("q", product_id="td-17")
        async for event in answer:
            if isinstance(event, OutputTextDelta) and event.epoch == 2:
                break
        assert answer.text == "right"
