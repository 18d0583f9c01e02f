import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError, Usage
from server.llm.script import BUILT_IN, ERRORS, ScriptError, load_script, parse_script
from server.llm.scripted import Scripted

REQUEST = ModelRequest(system="s", manual="m", question="qq")


def model(*steps: dict, first_s: float = 20, inter_s: float = 20) -> Scripted:
    script = parse_script(json.dumps(steps)) if steps else BUILT_IN
    return Scripted(script, first_token_timeout_s=first_s, inter_token_timeout_s=inter_s)


async def collect(scripted: Scripted) -> list:
    return [event async for event in scripted.stream(REQUEST)]


async def test_says_its_texts_the_same_for_every_question():
    scripted = model({"text": "a "}, {"text": "b", "delay_ms": 1})
    expected = [
        TextDelta("a "),
        TextDelta("b", is_last=True),
        Usage(1, 1, estimated=True),
        Finish("stop"),
    ]
    assert await collect(scripted) == expected
    assert await collect(scripted) == expected


async def test_has_a_script_of_its_own():
    events = await collect(model())
    assert isinstance(events[0], TextDelta)
    assert events[-1] == Finish("stop")


async def test_facts_of_the_end_can_stand_anywhere():
    events = await collect(
        model(
            {"finish": "length", "signal": 0.8},
            {"text": "x"},
            {"usage": {"input_tokens": 5, "output_tokens": 6, "cached_tokens": 1}},
        )
    )
    assert events == [TextDelta("x", is_last=True), Usage(5, 6, 1), Finish("length", 0.8)]


@pytest.mark.parametrize("code", ERRORS)
async def test_fails_as_told(code):
    with pytest.raises(UpstreamError) as caught:
        await collect(model({"text": "x"}, {"error": code, "retry_after_s": 3}))
    assert caught.value.kind == ERRORS[code]
    assert caught.value.retry_after_s == 3


async def test_words_are_counted():
    events = await collect(model({"tokens": 2000}))
    assert sum(isinstance(event, TextDelta) for event in events) == 2000


async def test_a_word_can_be_given():
    events = await collect(model({"tokens": 3, "word": "tick "}))
    assert [event.text for event in events[:3]] == ["tick "] * 3


async def test_pace_is_kept_by_the_clock_and_lateness_does_not_add_up(monkeypatch):
    loop = asyncio.get_running_loop()
    now = 100.0
    slept = []

    async def oversleep(delay_s: float) -> None:
        nonlocal now
        slept.append(delay_s)
        now += delay_s + 0.015

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", oversleep)
    run = model({"tokens": 50, "rate_per_s": 50})._run(REQUEST)
    events = [event async for event in run]
    assert len(events) == 52
    assert slept[0] == pytest.approx(0.02)
    assert slept[1:] == pytest.approx([0.005] * 49)
    assert now == pytest.approx(101.015)


async def test_f42_stall_at_the_start_meets_the_first_deadline():
    with pytest.raises(UpstreamError, match=r"no first token within 0\.01 s"):
        await collect(model({"stall_ms": 60_000}, {"text": "x"}, first_s=0.01))


async def test_f43_stall_in_the_middle_meets_the_second_deadline():
    with pytest.raises(UpstreamError, match=r"no further token within 0\.01 s"):
        await collect(model({"text": "x"}, {"stall_ms": 60_000}, inter_s=0.01))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("nonsense", "the script is not JSON"),
        ("{}", "must be a list"),
        ('["x"]', "step 1: must be an object"),
        ("[{}]", "step 1: must have exactly one of text, tokens, stall_ms, error"),
        ('[{"text": "a", "tokens": 1}]', "step 1: must have exactly one of"),
        ('[{"text": "a"}, {"text": "b", "delay": 1}]', "step 2: .*'delay'; did you mean delay_ms"),
        ('[{"text": 1}]', "step 1: text must be a string"),
        ('[{"text": "a", "delay_ms": -1}]', "step 1: delay_ms must be a number from 0"),
        ('[{"text": "a", "delay_ms": true}]', "step 1: delay_ms must be a number"),
        ('[{"text": "a", "delay_ms": 1e999}]', "step 1: delay_ms must be a number"),
        ('[{"tokens": 1.5}]', "step 1: tokens must be a whole number"),
        ('[{"tokens": 1, "word": 2}]', "step 1: word must be a string"),
        ('[{"stall_ms": "5"}]', "step 1: stall_ms must be a number"),
        ('[{"error": "oops"}]', "step 1: error must be one of upstream_error"),
        ('[{"error": ["x"]}]', "step 1: error must be one of"),
        ('[{"finish": "done"}]', "step 1: finish must be one of stop, length, blocked, truncated"),
        ('[{"signal": 1.1}]', "step 1: signal must be a number from 0 to 1"),
        ('[{"usage": {"tokens": 1}}]', "step 1: usage must be an object with input_tokens"),
        ('[{"usage": {"input_tokens": -1}}]', "step 1: input_tokens must be a whole number"),
    ],
)
def test_mistakes_are_named_by_step_and_field(script, message):
    with pytest.raises(ScriptError, match=message):
        parse_script(script)


def test_script_from_a_file(tmp_path):
    path = tmp_path / "script.json"
    path.write_text('[{"text": "caf\u00e9"}]', encoding="utf-8")
    assert load_script(path) == parse_script('[{"text": "caf\u00e9"}]')


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ScriptError, match="No such file"):
        load_script(tmp_path / "none.json")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_is_a_script_or_a_script_error(value):
    try:
        parse_script(json.dumps([{"text": value}, {"tokens": value}, value]))
    except ScriptError as error:
        assert str(error).startswith("step ")
