"""What is taken and what is refused at the door."""

import asyncio

import pytest
from rig import Rig, Told

from protocol.errors import EventError
from protocol.messages import ResponseCreate


def refusal(rig, **fields):
    with pytest.raises(EventError) as caught:
        rig.answering.start(ResponseCreate(**fields))
    assert not rig.answering.running
    return caught.value


async def test_what_is_not_there_is_named():
    async with Rig() as rig:
        error = refusal(rig, input="How?", product_id="nope")
        assert (error.code, error.param) == ("product_not_found", "product_id")
        error = refusal(rig, input="How?", product_id="td-17", scenario="nope")
        assert (error.code, error.param) == ("scenario_not_found", "scenario")
        assert "general" in error.message
        error = refusal(rig, input="How?", product_id="td-17", task="improve")
        assert (error.code, error.param) == ("invalid_event", "task")


async def test_a_question_of_hidden_characters_only_is_refused_and_counted():
    async with Rig() as rig:
        error = refusal(rig, input="\u200b\U000e0041\u202e", product_id="td-17")
        assert (error.code, error.param) == ("invalid_event", "input")
        assert rig.moved("stripped_characters_total", "question") == 3


async def test_hidden_characters_never_reach_the_model():
    model = Told("ok")
    async with Rig(model) as rig:
        await rig.ask("How do I \u202echange\u202c the bat\u200btery\U000e0041?")
        assert model.requests[0].question == "How do I change the battery?"
        assert rig.moved("stripped_characters_total", "question") == 4


async def test_the_process_bounds_its_answers():
    async with Rig(Told("a", asyncio.Event()), max_running=2) as rig:
        first, second = rig.start("One?"), rig.start("Two?")
        with pytest.raises(EventError) as caught:
            rig.start("Three?")
        assert caught.value.code == "overloaded"
        assert caught.value.retry_after_ms == 1000
        assert rig.moved("answers_running") == 2
        first.answer.cancel()
        await first.end()
        third = rig.start("Three?")
        assert rig.moved("answers_running") == 2
        rig.answering.stop_all()
        await rig.answering.wait_for_all()
        assert rig.moved("answers_running") == 0
        assert second.answer.done.is_set()
        assert third.answer.done.is_set()
