"""Identical questions share one model call; what came whole is kept."""

import asyncio
from collections import Counter

import pytest
from iterations import Iterations
from rig import BATTERY, Rig, Told, failing, until

from server.answering.running import ENDS_AT_ONCE
from server.answering.turns import WAITING_FOR_ONE_MORE
from server.llm.port import Finish, TextDelta, Usage

USED = Usage(1000, 50, 10)


async def test_a_hundred_identical_questions_are_one_call_billed_once():
    gate = asyncio.Event()
    model = Told("Open ", gate, "the lid.", USED)
    async with Rig(model) as rig:
        listeners = [rig.start() for _ in range(100)]
        for listener in listeners:
            await listener.until("response.output_text.delta")
        gate.set()
        for listener in listeners:
            await listener.end()
        finals = [listener.final for listener in listeners]
        assert len(model.requests) == 1
        assert {final.output_text for final in finals} == {"Open the lid."}
        labels = [final.cache.answer for final in finals]
        assert labels.count("miss") == 1
        assert labels.count("shared") == 99
        assert sum(final.usage.input_tokens for final in finals) == 1000
        await until(lambda: rig.moved("tokens_total", "told", "input"))
        assert rig.moved("tokens_total", "told", "input") == 1000
        assert rig.moved("tokens_total", "told", "output") == 50
        assert rig.moved("tokens_total", "told", "cached") == 10
        assert rig.moved("upstream_attempts_total", "told", "first") == 1


async def test_many_who_read_one_call_end_in_turns():
    """A question that everybody asks would else hold up all others where its answer ends."""
    readers, gate = 100, asyncio.Event()
    async with Rig(Told("Open ", gate, "the lid.")) as rig:
        listeners = [rig.start() for _ in range(readers)]
        for listener in listeners:
            await listener.until("response.output_text.delta")
        iterations, ended_in = Iterations(), Counter()

        async def note_end(answer):
            await answer.done.wait()
            ended_in[iterations.number] += 1

        ends = [asyncio.create_task(note_end(listener.answer)) for listener in listeners]
        gate.set()
        await asyncio.gather(*ends)
        iterations.close()
        assert max(ended_in.values()) <= ENDS_AT_ONCE + readers // WAITING_FOR_ONE_MORE
        for listener in listeners:
            await listener.end()
        assert {listener.final.status for listener in listeners} == {"completed"}


async def test_one_of_many_may_cancel_and_the_rest_read_on():
    gate = asyncio.Event()
    model = Told("a", gate, "b")
    async with Rig(model) as rig:
        first, second = rig.start(), rig.start()
        await first.until("response.output_text.delta")
        await second.until("response.output_text.delta")
        first.answer.cancel()
        await first.end()
        gate.set()
        await second.end()
        assert first.final.status == "cancelled"
        assert second.final.output_text == "ab"


async def test_after_all_cancelled_the_same_question_is_a_new_call():
    gate = asyncio.Event()
    model = Told("a", gate, "b")
    async with Rig(model) as rig:
        first = rig.start()
        await first.until("response.output_text.delta")
        first.answer.cancel()
        second = rig.start()  # joins while the first call is being closed
        gate.set()
        await first.end()
        await second.end()
        assert second.final.output_text == "ab"
        assert second.final.cache.answer == "miss"
        assert len(model.requests) == 2


async def test_a_failure_reaches_all_who_share_it_and_is_not_kept():
    gate = asyncio.Event()
    model = Told(gate, failing("timeout"))
    async with Rig(model) as rig:
        listeners = [rig.start() for _ in range(3)]
        await model.entered.wait()
        gate.set()
        for listener in listeners:
            await listener.end()
        assert {listener.final.status for listener in listeners} == {"failed"}
        await rig.ask()
        assert len(model.requests) == 2


async def test_a_whole_answer_is_served_again_without_a_model():
    model = Told("Insert ", "a battery.", Finish("stop", 0.9))
    async with Rig(model) as rig:
        first = await rig.ask()
        again = await rig.ask(f"  {BATTERY.upper()} ")
        assert len(model.requests) == 1
        assert again.final.cache.answer == "hit"
        assert again.final.output_text == first.final.output_text
        assert again.final.model == "told"
        assert again.final.confidence == first.final.confidence
        assert again.final.usage.input_tokens == 0
        assert again.final.cost_usd == 0


@pytest.mark.parametrize("reason", ["length", "blocked", "truncated"])
async def test_an_answer_that_is_not_whole_is_not_kept(reason):
    model = Told("a", Finish(reason))
    async with Rig(model) as rig:
        await rig.ask()
        await rig.ask()
        assert len(model.requests) == 2


async def test_what_a_fallback_said_is_not_kept():
    first, second = Told(failing(), name="first"), Told("fallback", name="second")
    async with Rig(first, second) as rig:
        assert (await rig.ask()).final.model == "second"
        await rig.ask()
        assert len(first.requests) == 2


async def test_a_cancelled_answer_is_never_kept():
    model = Told("a", asyncio.Event())
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.until("response.output_text.delta")
        listener.answer.cancel()
        await listener.end()
        await model.closed.wait()
        again = rig.start()
        await again.until("response.output_text.delta")
        assert len(model.requests) == 2
        again.answer.give_up()


async def test_usage_that_the_provider_did_not_count_is_estimated():
    async with Rig(Told("x" * 400)) as rig:
        final = (await rig.ask()).final
        assert final.usage.estimated
        assert final.usage.output_tokens == 100
        assert final.usage.input_tokens > 50


async def test_an_answer_is_kept_although_its_upstream_closes_slowly():
    class Slow(Told):
        async def stream(self, request):
            self.requests.append(request)
            try:
                yield TextDelta("a")
                yield Finish("stop")
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                self.closed.set()

    model = Slow()
    async with Rig(model) as rig:
        await rig.ask()
        await model.closed.wait()
        await until(lambda: not rig.flights._by_key)
        await until(lambda: not rig.flights._writes)
        assert (await rig.ask()).final.cache.answer == "hit"


async def test_f43_f44_an_answer_that_begins_anew_repeats_nothing_and_bills_both_models():
    first = Told("Half an ans", failing("connect"), name="first")
    second = Told("Open the lid.", USED, name="second")
    async with Rig(first, second) as rig:
        listener = await rig.ask()
        final = listener.final
        assert final.output_text == listener.text == "Open the lid."
        assert final.model == "second"
        assert listener.kinds.count("response.reset") == 1
        assert final.usage.output_tokens == USED.output_tokens + 3
        assert final.usage.input_tokens > USED.input_tokens
        assert final.usage.estimated
        await until(lambda: rig.moved("tokens_total", "second", "output") == USED.output_tokens)
        assert rig.moved("tokens_total", "first", "output") == 3
        await rig.ask()
        assert len(first.requests) == 2, "what another model said is not kept"


async def test_f44_an_answer_that_its_own_model_began_anew_is_kept_without_the_void_text():
    class Broken(Told):
        async def stream(self, request):
            self.requests.append(request)
            if len(self.requests) == 1:
                yield TextDelta("void")
                raise failing("connect")
            yield TextDelta("whole")
            yield Finish("stop")

    async with Rig(Broken()) as rig:
        assert (await rig.ask()).final.output_text == "whole"
        await until(lambda: not rig.flights._by_key and not rig.flights._writes)
        again = await rig.ask()
        assert again.final.cache.answer == "hit"
        assert again.final.output_text == again.text == "whole"
