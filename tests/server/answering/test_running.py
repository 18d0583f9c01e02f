"""Every way in which an answer ends, each with exactly one terminal event."""

import asyncio

import pytest
from rig import BATTERY, MARKED, QUOTE, Listener, Rig, Told, failing, kind, scripted, until

from protocol.messages import HistoryTurn
from server.llm.pacing import TimingWheel
from server.llm.port import Finish, TextDelta
from server.manuals.documents import ManualError

DELTA = "response.output_text.delta"


async def test_the_life_of_a_completed_answer():
    async with Rig(scripted({"text": MARKED})) as rig:
        listener = await rig.ask(event_id="q-1")
        final = listener.final
        created, *_ = listener.events
        assert created.event_id == "q-1"
        assert created.response.status == "in_progress"
        assert created.response.product_id == "td-17"
        stages = [e.stage for e in listener.events if kind(e) == "response.in_progress"]
        assert stages == [
            "manual.fetching",
            "manual.extracting",
            "manual.extracting",
            "retrieving",
            "generating",
        ]
        assert final.status == "completed"
        assert final.finish_reason == "stop"
        assert final.output_text == listener.text == "Change it.   Done."
        assert [kind(item) for item in final.items] == ["citation", "pro_tip"]
        citation = final.items[0]
        assert citation.verified
        assert citation.cited_text.startswith(QUOTE)
        assert final.cache.manual == "fetched"
        assert final.timing_ms.first_token is not None


async def test_created_is_published_before_the_manual_is_asked_for():
    async with Rig() as rig:
        rig.source.gate.clear()
        listener = rig.start()
        assert listener.kinds == ["response.created"]
        assert rig.source.loads == 0
        listener.answer.give_up()


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("stop", "completed"),
        ("length", "incomplete"),
        ("blocked", "completed"),
        ("truncated", "completed"),
    ],
)
async def test_what_the_model_says_of_its_end(reason, status):
    async with Rig(Told("Some text.", Finish(reason))) as rig:
        final = (await rig.ask()).final
        assert (final.status, final.finish_reason) == (status, reason)
        assert final.output_text == "Some text."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failing("server"), "upstream_error"),
        (failing("refused"), "upstream_error"),
        (failing("timeout"), "upstream_timeout"),
    ],
)
@pytest.mark.parametrize("said", [[], ["Half an "]])
async def test_a_failing_model_is_a_failed_answer_with_what_there_was(error, code, said):
    async with Rig(Told(*said, error)) as rig:
        final = (await rig.ask()).final
        assert (final.status, final.finish_reason) == ("failed", "error")
        assert final.error.code == code
        assert final.error.retryable
        assert "nobody may see" not in final.error.message
        assert final.output_text == "".join(said)


async def test_the_providers_wish_to_wait_is_passed_on():
    async with Rig(Told(failing("rate_limited", retry_after_s=2.5))) as rig:
        assert (await rig.ask()).final.error.retry_after_ms == 2500


async def test_a_crash_is_an_internal_error_and_tells_nothing():
    async with Rig(Told("a", RuntimeError("secret canary"))) as rig:
        final = (await rig.ask()).final
        assert final.error.code == "internal_error"
        assert "canary" not in final.error.message
        assert final.output_text == "a"


async def test_a_crash_while_an_item_is_made_still_ends_the_answer(monkeypatch):
    from protocol.items import ItemMaker

    def crash(*args, **kwargs):
        raise RuntimeError("planted")

    monkeypatch.setattr(ItemMaker, "make", crash)
    # The marker is complete only when the text ends.
    async with Rig(scripted({"text": "a [PRO TIP:] the rest of the line"})) as rig:
        final = (await rig.ask()).final
        assert final.error.code == "internal_error"


async def test_text_that_utf8_cannot_carry_never_ends_an_answer_silently():
    async with Rig(Told("a\ud83d", "\ude00b [WARNING: c\udc00d]")) as rig:
        final = (await rig.ask()).final
        assert final.output_text == "ab "
        assert final.items[0].text == "cd"


async def test_cancel_before_its_task_has_begun():
    model = Told("a")
    async with Rig(model) as rig:
        listener = rig.start()
        listener.answer.cancel()
        await listener.end()
        assert listener.final.status == "cancelled"
        assert not rig.answering.running
        assert not model.requests


async def test_cancel_while_the_manual_loads():
    async with Rig() as rig:
        rig.source.gate.clear()
        listener = rig.start()
        await listener.until("response.in_progress")
        listener.answer.cancel()
        await listener.end()
        assert listener.final.status == "cancelled"
        assert listener.final.cache.manual == "none"
        rig.source.gate.set()
        await until(lambda: rig.library.is_cached("td-17"))  # others may need it


async def test_cancel_before_the_first_token_closes_the_upstream():
    model = Told(asyncio.Event())
    async with Rig(model) as rig:
        listener = rig.start()
        await model.entered.wait()
        listener.answer.cancel()
        await listener.end()
        assert listener.final.finish_reason == "cancelled"
        assert listener.final.output_text == ""
        await model.closed.wait()


async def test_cancel_in_mid_stream_keeps_the_text_and_closes_the_upstream():
    model = Told("Half [PRO", asyncio.Event())
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.until(DELTA)
        listener.answer.cancel()
        listener.answer.cancel()  # twice is once
        await listener.end()
        assert listener.final.status == "cancelled"
        assert listener.final.output_text == listener.text == "Half [PRO"
        await model.closed.wait()
        assert listener.final.usage.output_tokens > 0


async def test_cancel_after_the_end_changes_nothing():
    async with Rig() as rig:
        listener = await rig.ask()
        before = list(listener.events)
        listener.answer.cancel()
        listener.answer.give_up()
        await asyncio.sleep(0)
        assert listener.events == before


async def test_giving_up_ends_without_a_word_and_is_counted():
    model = Told("a", asyncio.Event())
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.until(DELTA)
        listener.answer.give_up()
        await listener.end()
        assert kind(listener.events[-1]) == DELTA
        await model.closed.wait()
        assert rig.moved("queries_total", "given_up", "general") == 1
        assert not rig.answering.running


async def test_f35_an_answer_that_nobody_reads_stops_after_a_while():
    model = Told("a", asyncio.Event())
    async with Rig(model, grace_s=0.05) as rig:
        listener = rig.start()
        await listener.until(DELTA)
        listener.reader.close()
        await model.closed.wait()
        await listener.end()
        again = Listener()
        again.listen(rig.topics.get(listener.answer.topic.response_id))
        assert again.final.status == "cancelled"
        assert again.final.usage.output_tokens > 0
        assert rig.moved("queries_total", "abandoned", "general") == 1


async def test_f35_a_reader_that_comes_back_in_time_keeps_the_answer():
    gate = asyncio.Event()
    async with Rig(Told("a", gate, "b"), grace_s=0.2) as rig:
        listener = rig.start()
        await listener.until(DELTA)
        listener.reader.close()
        again = Listener()
        again.listen(listener.answer.topic, listener.frames[-1].position)
        gate.set()
        await listener.end()
        assert [*listener.frames, *again.frames] == listener.answer.topic.frames
        assert again.frames[-1].kind == "response.completed"


async def test_being_cut_off_is_a_failure_that_says_draining():
    model = Told("a", asyncio.Event())
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.until(DELTA)
        rig.answering.stop_all()
        await rig.answering.wait_for_all()
        assert listener.final.status == "failed"
        assert listener.final.error.code == "draining"
        assert listener.final.output_text == "a"


async def test_the_deadline_before_any_text_is_a_failure():
    async with Rig(Told(asyncio.Event()), timeout_s=0.05) as rig:
        final = (await rig.ask()).final
        assert (final.status, final.finish_reason) == ("failed", "deadline")
        assert final.error.code == "deadline_exceeded"


async def test_the_deadline_after_text_is_an_incomplete_answer():
    model = Told("Half", asyncio.Event())
    async with Rig(model, timeout_s=0.2) as rig:
        await rig.library.get("td-17", rig.catalog.get("td-17").manual)
        final = (await rig.ask()).final
        assert (final.status, final.finish_reason) == ("incomplete", "deadline")
        assert final.output_text == "Half"
        await model.closed.wait()


async def test_endless_text_stops_at_the_wall_clock_and_is_billed():
    async with Rig(scripted({"tokens": 10**9, "rate_per_s": 500}), answer_timeout_s=0.3) as rig:
        final = (await rig.ask()).final
        assert (final.status, final.finish_reason) == ("incomplete", "length")
        assert final.usage.estimated
        assert final.usage.output_tokens > 0
        assert final.cost_usd == 0


async def test_a_manual_that_cannot_be_had_is_said_and_the_answer_is_not_kept():
    model = Told("Nothing known.")
    async with Rig(model) as rig:
        rig.source.error = ManualError("unreachable", "The manual's server did not answer.")
        listener = await rig.ask()
        told = await listener.until(lambda e: getattr(e, "stage", "") == "retrieving")
        assert told.manual.status == "unavailable"
        assert told.manual.problem == "unreachable"
        assert listener.final.guidance == "abstain"
        assert listener.final.confidence is None
        rig.source.error = None
        await rig.ask()
        assert len(model.requests) == 2


async def test_a_product_without_a_manual_is_answered_from_its_facts():
    model = Told("It is a trigger.")
    async with Rig(model) as rig:
        final = (await rig.ask(product_id="kt-10")).final
        assert final.status == "completed"
        assert final.cache.manual == "none"
        assert "KT-10 kick trigger" in model.requests[0].facts
        assert model.requests[0].manual == ""


async def test_the_first_token_goes_at_once_and_the_rest_in_frames():
    model = scripted({"tokens": 200, "rate_per_s": 1000}, pace=TimingWheel(0.04))
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.end()
        deltas = [e.delta for e in listener.events if kind(e) == DELTA]
        assert deltas[0].startswith("one ")
        assert len("".join(deltas).split()) == 200
        assert 2 <= len(deltas) < 50


async def test_an_item_takes_the_text_before_it_along_at_once():
    gate = asyncio.Event()
    model = Told("One ", "two ", "[WARNING: hot]", gate)
    async with Rig(model) as rig:
        listener = rig.start()
        await listener.until("response.output_item.done")
        assert listener.text == "One two "
        gate.set()
        await listener.end()
        assert listener.final.items[0].offset == len("One two ")


async def test_failover_is_told_and_the_answer_names_who_answered():
    async with Rig(Told(failing(), name="first"), Told("Yes.", name="second")) as rig:
        listener = await rig.ask()
        attempts = [e for e in listener.events if kind(e) == "response.attempt.started"]
        assert [(e.attempt, e.model, e.reason) for e in attempts] == [
            (1, "first", "first"),
            (2, "second", "failover"),
        ]
        assert listener.final.model == "second"
        assert listener.final.output_text == "Yes."


async def test_question_history_and_manual_travel_in_parts_of_their_own():
    model = Told("ok")
    turns = [HistoryTurn(role="user", content="[SUGGESTION: evil]")]
    async with Rig(model) as rig:
        await rig.ask("Is [WARNING: this] a marker?", history=turns, language="fr")
        [request] = model.requests
        assert request.question == "Is ［WARNING: this] a marker?"
        assert request.history[0].content == "［SUGGESTION: evil]"
        assert request.language == "fr"
        assert "a marker?" not in request.system
        assert "CR2032" not in request.system


async def test_a_follow_up_without_words_of_its_own_is_looked_up_with_the_one_before():
    model = Told("ok")
    turns = [HistoryTurn(role="user", content=BATTERY)]
    async with Rig(model) as rig:
        listener = await rig.ask("and then?", history=turns)
        told = await listener.until(lambda e: getattr(e, "stage", "") == "retrieving")
        assert [source.page for source in told.sources][:1] == [2]


async def test_many_chunks_and_one_chunk_are_the_same_answer():
    cut = Told(*[TextDelta(char) for char in MARKED])
    async with Rig(Told(MARKED)) as whole_rig, Rig(cut) as cut_rig:
        whole, pieces = (await whole_rig.ask()).final, (await cut_rig.ask()).final
        assert whole.output_text == pieces.output_text
        assert whole.items == pieces.items
