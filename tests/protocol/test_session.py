"""One connection's rules, without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import CloseCode
from protocol.events import (
    Error,
    Limits,
    Pong,
    RateLimitsUpdated,
    SessionCreated,
    SessionFacts,
    SessionUpdated,
)
from protocol.rates import TokenBucket
from protocol.session import (
    MAX_BAD_FRAMES,
    Authenticate,
    Cancel,
    Close,
    Judge,
    Resume,
    Search,
    Send,
    Session,
    Start,
)
from protocol.states import IllegalStepError, SessionState

LIMITS = Limits(
    max_frame_bytes=65536,
    max_input_chars=4000,
    max_concurrent_responses=2,
    requests_per_minute=3,
)
UUID = "01936f2e-5b1a-7c3d-8e4f-0123456789ab"


def session() -> Session:
    return Session(
        SessionFacts(
            id="s",
            protocol="manicule.v1",
            server_version="0",
            scenarios=("general",),
            limits=LIMITS,
            ping_interval_s=20,
            resumable=False,
        )
    )


def frame(type_: str, **fields: object) -> str:
    return json.dumps({"type": type_, **fields})


ASK = frame("response.create", input="How?", product_id="p", event_id="q1")


def error_of(commands: list[object]) -> Error:
    [command] = commands
    assert isinstance(command, Send)
    assert isinstance(command.event, Error)
    return command.event


def test_it_opens_with_its_facts():
    [command] = session().open()
    assert isinstance(command, Send)
    assert isinstance(command.event, SessionCreated)


def test_ping_search_and_questions_become_commands():
    own = session()
    assert own.receive(frame("ping", event_id="e"), 0) == [Send(Pong(event_id="e"))]
    [search] = own.receive(frame("catalog.search", query="td"), 0)
    assert isinstance(search, Search)
    [start] = own.receive(ASK, 0)
    assert isinstance(start, Start)


def test_what_the_session_knows_fills_what_a_question_leaves_open():
    own = session()
    [updated] = own.receive(frame("session.update", user_id="u", language="fr"), 0)
    assert isinstance(updated, Send)
    assert isinstance(updated.event, SessionUpdated)
    [start] = own.receive(ASK, 0)
    assert isinstance(start, Start)
    assert (start.event.user_id, start.event.language) == ("u", "fr")
    [other] = own.receive(frame("response.create", input="x", product_id="p", language="de"), 0)
    assert isinstance(other, Start)
    assert (other.event.user_id, other.event.language) == ("u", "de")


def test_cancelling_and_resuming_are_handed_on():
    own = session()
    [cancel] = own.receive(frame("response.cancel", response_id="r", event_id="c"), 0)
    assert isinstance(cancel, Cancel)
    assert (cancel.event.response_id, cancel.event.event_id) == ("r", "c")
    [resume] = own.receive(
        frame("response.resume", response_id="r", epoch=2, starting_after=-1, event_id="e"), 0
    )
    assert isinstance(resume, Resume)
    assert (resume.event.epoch, resume.event.starting_after) == (2, -1)


def test_a_change_of_resumability_is_announced_once():
    own = session()
    assert own.announce(resumable=own.facts.resumable) == []
    [told] = own.announce(resumable=not own.facts.resumable)
    assert told.event.session.resumable is own.facts.resumable
    assert own.announce(resumable=own.facts.resumable) == []
    own.close()
    assert own.announce(resumable=not own.facts.resumable) == []
    stranger = Session(session().facts, needs_token=True)
    assert stranger.announce(resumable=not stranger.facts.resumable) == []


def test_f75_answers_over_the_limit_are_refused_until_one_ends():
    own = session()
    own.answer_started("a")
    own.answer_started("b")
    error = error_of(own.receive(ASK, 0)).error
    assert (error.code, error.event_id, error.retryable) == ("too_many_responses", "q1", True)
    own.answer_ended("a")
    [start] = own.receive(ASK, 0)
    assert isinstance(start, Start)


def test_questions_over_the_rate_are_refused_with_the_time_to_wait():
    own = session()
    for _ in range(3):
        own.receive(ASK, 0)
    refused, left = own.receive(ASK, 0)
    assert left == Send(RateLimitsUpdated(limit=3, remaining=0, reset_ms=60_000))
    error = error_of([refused]).error
    assert error.code == "rate_limited"
    assert isinstance(error.retry_after_ms, int)
    [start] = own.receive(ASK, error.retry_after_ms / 1000)
    assert isinstance(start, Start)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (frame("response.regenerate", response_id="r"), "response_not_found"),
        (frame("insights.subscribe", topics=["traffic"]), "store_unavailable"),
        (frame("insights.unsubscribe", topics=["traffic"]), "store_unavailable"),
    ],
)
def test_what_is_not_served_is_said(text, code):
    assert error_of(session().receive(text, 0)).error.code == code


def test_feedback_is_handed_on():
    text = frame("feedback.create", event_id=UUID, response_id="r", action="accept")
    [judge] = session().receive(text, 0)
    assert isinstance(judge, Judge)
    assert judge.event.event_id == UUID


def test_without_a_token_nothing_is_served_where_one_is_needed():
    own = Session(session().facts, needs_token=True)
    assert error_of(own.receive(ASK, 0)).error.code == "unauthorized"
    assert own.receive(frame("ping"), 0) == [Send(Pong())]
    [look] = own.receive(frame("session.update", token="t", user_id="u"), 0)
    assert isinstance(look, Authenticate)
    assert error_of(own.receive(ASK, 0)).error.code == "unauthorized"
    own.authenticated(look.event)
    assert own.user_id == "u"
    [start] = own.receive(ASK, 0)
    assert isinstance(start, Start)


def test_the_tenth_bad_frame_in_a_row_closes():
    own = session()
    for _ in range(MAX_BAD_FRAMES - 1):
        assert error_of(own.receive("{", 0)).error.code == "invalid_json"
    own.receive(frame("ping"), 0)  # a good one: counting starts anew
    for _ in range(MAX_BAD_FRAMES - 1):
        error_of(own.receive(b"{}", 0))
    last = own.receive(frame("nonsense"), 0)
    assert isinstance(last[0], Send)
    assert isinstance(last[1], Close)
    assert last[1].code == CloseCode.TOO_MANY_ERRORS


def test_draining_takes_no_questions_but_serves_the_rest():
    own = session()
    own.answer_started("r")
    [away] = own.drain("restart", 100)
    assert isinstance(away, Send)
    assert own.drain("restart", 50) == []
    assert error_of(own.receive(ASK, 0)).error.code == "draining"
    [cancel] = own.receive(frame("response.cancel", response_id="r"), 0)
    assert isinstance(cancel, Cancel)
    assert own.state is SessionState.DRAINING


def test_a_closed_session_takes_no_frames():
    own = session()
    own.close()
    with pytest.raises(IllegalStepError):
        own.receive(frame("ping"), 0)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(waits):
    bucket, now, given_out = TokenBucket(6), 0.0, 0
    for wait in waits:
        now += wait
        if bucket.take(now) == 0:
            given_out += 1
    assert given_out <= 6 + now * 6 / 60 + 1e-6
