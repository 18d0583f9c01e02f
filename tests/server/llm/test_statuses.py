import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm.port import UpstreamError
from server.llm.statuses import error_from_object, error_from_status, parse_retry_after

NOW_S = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("-5", 0.0),
        ("999999999", 86_400.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, NOW_S) == seconds


@given(st.text())
def test_retry_after_of_anything(value):
    seconds = parse_retry_after(value, NOW_S)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "refused"),
        (400, "refused"),
        (408, "timeout"),
        (422, "refused"),
        (429, "rate_limited"),
        (500, "server"),
        (504, "timeout"),
        (529, "server"),
    ],
)
def test_kinds(status, kind):
    assert error_from_status(status).kind == kind
    assert str(status) in str(error_from_status(status))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.dictionaries(st.text(), s)))
def test_error_objects_of_any_shape_never_show_their_words(value):
    fixed = "the model's server reported an error inside its stream"
    error = error_from_object(value)
    assert isinstance(error, UpstreamError)
    assert str(error) == fixed
