"""Frames of strangers become events or errors that name the field; nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from protocol.codec import MAX_DEPTH, decode, decode_object, encode, error_event
from protocol.errors import ERRORS, EventError
from protocol.events import Error, OutputTextDelta, Pong
from protocol.messages import (
    MAX_INPUT_CHARS,
    FeedbackCreate,
    Ping,
    ResponseCreate,
    ResponseResume,
)

UUID = "01936f2e-5b1a-7c3d-8e4f-0123456789ab"
ASK = {"type": "response.create", "input": "How?", "product_id": "p"}


def refusal(frame: str | bytes | dict[str, object]) -> EventError:
    with pytest.raises(EventError) as caught:
        decode(json.dumps(frame) if isinstance(frame, dict) else frame)
    return caught.value


def test_a_question_gets_its_defaults():
    event = decode(json.dumps(ASK))
    assert event == ResponseCreate(input="How?", product_id="p")
    assert isinstance(event, ResponseCreate)
    assert (event.task, event.scenario, event.history) == ("answer", "general", [])


def test_unknown_fields_are_ignored():
    assert decode(json.dumps({**ASK, "future": {"a": [1]}})) == decode(json.dumps(ASK))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "  \n"}, "input"),
        ({"input": "x" * (MAX_INPUT_CHARS + 1)}, "input"),
        ({"input": 5}, "input"),
        ({"input": None}, "input"),
        ({"product_id": None}, "product_id"),
        ({"product_id": "x" * 65}, "product_id"),
        ({"task": "sing"}, "task"),
        ({"history": [{"role": "system", "content": "x"}]}, "history[0].role"),
        ({"history": [{"role": "user"}]}, "history[0].content"),
        ({"history": [{"role": "user", "content": "x"}] * 21}, "history"),
        ({"language": "not a tag"}, "language"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"input": "a\u0000b"}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"metadata": {"k\u0000": "v"}}, "metadata"),
        ({"history": [{"role": "user", "content": "\udfff"}]}, "history[0].content"),
    ],
)
def test_a_bad_field_is_named(change, param):
    error = refusal({**ASK, **change})
    assert (error.code, error.param) == ("invalid_event", param)


def test_a_question_needs_a_product_but_an_improvement_does_not():
    frame = {"type": "response.create", "input": "text"}
    assert refusal(frame).param == "product_id"
    event = decode(json.dumps({**frame, "task": "improve"}))
    assert isinstance(event, ResponseCreate)
    assert event.product_id is UNSET


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"event_id": "not-a-uuid"}, "event_id"),
        ({"action": "rate"}, "score"),
        ({"action": "rate", "score": 6}, "score"),
        ({"action": "modify"}, "final_text"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-13-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": "2026-11-21"}, "occurred_at"),
        ({"tags": ["nonsense"]}, "tags[0]"),
        ({"comment": "x" * 4001}, "comment"),
    ],
)
def test_bad_feedback_is_named(change, param):
    frame = {
        "type": "feedback.create",
        "event_id": UUID,
        "response_id": "r",
        "action": "accept",
    }
    assert isinstance(decode(json.dumps(frame)), FeedbackCreate)
    error = refusal({**frame, **change})
    assert (error.code, error.param) == ("invalid_event", param)


def test_feedback_without_an_id_is_refused():
    error = refusal({"type": "feedback.create", "response_id": "r", "action": "accept"})
    assert (error.code, error.param) == ("invalid_event", "event_id")


def test_a_resume_position_may_be_minus_one():
    frame = {"type": "response.resume", "response_id": "r", "epoch": 1, "starting_after": -1}
    assert isinstance(decode(json.dumps(frame)), ResponseResume)
    assert refusal({**frame, "starting_after": -2}).param == "starting_after"
    assert refusal({**frame, "epoch": 0}).param == "epoch"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"text"',
        "{",
        '{"type": "ping"} trailing',
        '\ufeff{"type": "ping"}',
        "[" * 60_000,
        '{"a":' * 1025 + "1" + "}" * 1025,
        '{"type": "ping", "a": NaN}',
        '{"type": "ping", "a": -Infinity}',
        '{"type": "ping", "a": 1e999}',
        '{"type": "ping", "a": 123456789012345678901234567890}',
        '{"type": "ping", "a": -9007199254740993}',
        '{"type": "ping", "type": "ping"}',
        '{"type": "ping", "a": {"b": 1, "b": 2}}',
        b"\xff\xfe",
    ],
)
def test_f73_what_is_no_safe_json_is_refused(frame):
    assert refusal(frame).code == "invalid_json"


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "ping", "event_id": "e1", "a": NaN}',
        '{"type": "ping", "event_id": "e1", "a": 1, "a": 2}',
        '{"type": "ping", "event_id": "e1", "a": 123456789012345678901234567890}',
        '{"type": "nothing", "event_id": "e1"}',
        '{"type": "response.create", "event_id": "e1"}',
        '{"event_id": "e1"}',
    ],
)
def test_f73_a_refusal_carries_the_id_of_the_request(frame):
    assert refusal(frame).event_id == "e1"


def test_f73_large_arrays_and_strings_in_unknown_fields_do_no_harm():
    frame = json.dumps({"type": "ping", "a": [0] * 20_000, "b": "x" * 20_000})
    assert decode(frame) == Ping()


def test_f73_nesting_within_the_limit_is_fine_and_beyond_is_not():
    nested: object = 1
    for _ in range(MAX_DEPTH - 1):
        nested = {"a": nested}
    assert decode(json.dumps({"type": "ping", "x": nested})) == Ping()
    assert refusal({"type": "ping", "x": {"a": {"b": nested}}}).code == "invalid_json"


def test_f74_an_unknown_type_lists_the_known_ones():
    error = refusal({"type": "response.dance"})
    assert error.code == "unknown_type"
    assert "response.create" in error.message


def test_f74_future_fields_of_every_event_are_ignored():
    assert decode('{"type": "ping", "zzz": [1, {"deep": true}]}') == Ping()


@given(st.text(max_size=200))
def test_any_text_is_an_event_or_a_refusal(text):
    try:
        decode(text)
    except EventError as error:
        assert error.code in ERRORS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["type", "event_id", "input", "product_id", "history", "metadata", "limit", "query"]
        ),
        json_values | st.sampled_from(["ping", "response.create", "catalog.search"]),
    )
)
def test_any_object_is_an_event_or_a_refusal(obj):
    try:
        decode(json.dumps(obj))
    except EventError as error:
        assert error.code in ERRORS
        assert error.message


def test_a_door_may_imply_the_type():
    event = decode_object({"input": "How?", "product_id": "p"}, default_type="response.create")
    assert isinstance(event, ResponseCreate)


def test_absent_and_null_differ_on_the_wire():
    assert json.loads(encode(Pong())) == {"type": "pong"}
    error = error_event(EventError("rate_limited", "wait", retry_after_ms=5))
    assert json.loads(encode(error)) == {
        "type": "error",
        "error": {
            "code": "rate_limited",
            "message": "wait",
            "retryable": True,
            "retry_after_ms": 5,
        },
    }


@given(st.text())
def test_any_delta_survives_the_wire(text):
    delta = OutputTextDelta(response_id="r", epoch=1, sequence_number=0, delta=text)
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    frame = encode(delta)
    assert "\n" not in frame
    assert json.loads(frame)["delta"] == text


def test_every_error_code_has_a_row_and_a_status():
    for code, row in ERRORS.items():
        event = error_event(EventError(code, "m"))
        assert isinstance(event, Error)
        assert event.error.retryable is row.retryable
        assert 400 <= row.http_status < 600
