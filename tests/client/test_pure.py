"""What needs no server: ids, delays, addresses, what a judgement says."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told_server import final_response

import manicule
from manicule.addresses import socket_address
from manicule.backoff import LONGEST_S, REFUSED_S, STEADY_S, Backoff
from manicule.environment import IdMaker
from manicule.errors import ConnectionLostError, error_of
from manicule.judgements import frame_of
from protocol.codec import decode


@given(st.lists(st.integers(1, 2**47), min_size=1, max_size=50), st.integers(1, 3))
def test_ids_are_uuid7_and_rise_whatever_the_clock_does(times, each):
    clock = iter([time for time in times for _ in range(each)])
    maker = IdMaker(
        manicule.Environment(now_ms=lambda: next(clock), random_bytes=lambda n: b"\xff" * n)
    )
    made = [UUID(maker.make()) for _ in range(len(times) * each)]
    assert made == sorted(set(made))
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert made[0].int >> 80 == times[0]


def test_ids_of_one_millisecond_do_not_run_out():
    maker = IdMaker(manicule.Environment(now_ms=lambda: 5, random_bytes=lambda n: bytes(n)))
    made = [maker.make() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_delays_double_between_nothing_and_a_bound():
    lost = ConnectionLostError("lost")
    assert [Backoff(lambda: 0.0).delay_s(lost) for _ in range(3)] == [0.0] * 3
    backoff = Backoff(lambda: 1.0)
    delays = [backoff.delay_s(lost) for _ in range(10)]
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == LONGEST_S
    backoff.connected(STEADY_S - 1)
    assert backoff.delay_s(lost) == LONGEST_S
    backoff.connected(STEADY_S)
    assert backoff.delay_s(lost) == 0.25


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4429, 4509])
def test_after_a_refusal_nobody_comes_back_at_once(code):
    assert Backoff(lambda: 0.0).delay_s(ConnectionLostError("no", code)) == REFUSED_S


@pytest.mark.parametrize(("code", "least"), [(1001, 0), (4008, 0), (4010, 0), (1013, 1), (None, 0)])
def test_after_other_ends_they_do(code, least):
    assert Backoff(lambda: 0.0).delay_s(ConnectionLostError("end", code)) == least


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("http://host:8080", "ws://host:8080/ws"),
        ("https://host/", "wss://host/ws"),
        ("ws://host/other", "ws://host/other"),
    ],
)
def test_addresses(written, read):
    assert socket_address(written) == (read, False)
    assert socket_address("ws://127.0.0.1:80")[1]
    assert socket_address("ws://[::1]:80")[1]


@pytest.mark.parametrize(
    "written", ["", "host:8080", "ftp://host", "ws://", "ws://host:x", "ws://["]
)
def test_what_is_no_address(written):
    with pytest.raises(manicule.CannotConnectError, match="Write ws://"):
        socket_address(written)


def test_a_judgement_says_all_that_was_said():
    item = "item_2"
    judgement = manicule.Judgement(
        "modify",
        final_response(),
        item,
        ["factual_error"],
        "“Nº 1” 👍\n",
        None,
        "Better.",
        {"é": "ü"},
    )
    frame = frame_of(judgement, str(UUID(int=7)), 1_700_000_000_123)
    assert json.loads(frame) == {
        "type": "feedback.create", "event_id": str(UUID(int=7)), "response_id": "resp_1",
        "action": "modify", "item_id": "item_2", "tags": ["factual_error"],
        "comment": "“Nº 1” 👍\n", "final_text": "Better.", "receipt": "receipt of resp_1",
        "occurred_at": "2023-11-14T22:13:20.123Z", "metadata": {"é": "ü"},
    }  # fmt: skip
    assert decode(frame).comment == "“Nº 1” 👍\n"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"action": "rate", "score": 6}, "score"),
        ({"action": "accept", "comment": "x" * 4001}, "comment"),
        ({"action": "accept", "comment": "\ud800"}, "comment"),
        ({"action": "accept", "tags": ["dull"]}, "tags[0]"),
    ],
)
def test_what_a_server_would_refuse_is_refused_before_it_is_kept(given, param):
    with pytest.raises(manicule.Error) as caught:
        frame_of(manicule.Judgement(answer="resp_1", **given), str(UUID(int=7)), 0)
    assert (caught.value.code, caught.value.param) == ("invalid_event", param)


@pytest.mark.parametrize("facts", [None, 3, {}, {"code": 1, "event_id": 2, "retry_after_ms": "x"}])
def test_an_error_that_does_not_fit_is_an_error_all_the_same(facts):
    error = error_of(facts)
    assert not error.retryable
    assert error.event_id is None
