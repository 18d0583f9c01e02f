"""Which failures close a model to everybody, and what places in a chain are called."""

import pytest

from server.llm.breaker import MIN_FAILURES, BreakerState
from server.llm.deployments import cooling_s, deploy
from server.llm.port import UpstreamError
from server.llm.scripted import Scripted


class Seen(list):
    """What the metrics would be told."""

    def __call__(self, model, state):
        self.append((model, state.value))


def place(seen=None):
    model = Scripted(first_token_timeout_s=1, inter_token_timeout_s=1)
    [one] = deploy([model], seen if seen is not None else Seen())
    return one


@pytest.mark.parametrize(
    ("error", "closes"),
    [
        (UpstreamError("connect", ""), True),
        (UpstreamError("timeout", ""), True),
        (UpstreamError("server", "", status=503), True),
        (UpstreamError("refused", "", status=401), True),
        (UpstreamError("refused", "", status=404), True),
        (UpstreamError("refused", "", status=400), False),
        (UpstreamError("refused", "", status=413), False),
        (UpstreamError("too_large", ""), False),
        (UpstreamError("malformed", ""), False),
        (UpstreamError("rate_limited", "", retry_after_s=30), False),
        (UpstreamError("rate_limited", "", retry_after_s=0), True),
        (UpstreamError("rate_limited", ""), True),
    ],
)
def test_what_one_question_causes_closes_a_model_to_nobody(error, closes):
    one = place()
    for _ in range(MIN_FAILURES):
        one.failed(one.begin(0.0), error, 0.0)
    assert (one.state is BreakerState.OPEN) == closes


def test_each_state_is_told_once_and_the_first_at_the_start():
    seen = Seen()
    one = place(seen)
    for _ in range(MIN_FAILURES):
        one.failed(one.begin(0.0), UpstreamError("server", ""), 0.0)
    one.left(one.begin(1.0))
    one.answered(one.begin(2.0), 2.0)
    states = ["closed", "open", "half_open", "open", "half_open", "closed"]
    assert seen == [("scripted", state) for state in states]


def test_a_failure_that_says_nothing_frees_the_next_probe():
    one = place()
    for _ in range(MIN_FAILURES):
        one.failed(one.begin(0.0), UpstreamError("server", ""), 0.0)
    one.failed(one.begin(1.0), UpstreamError("refused", "", status=400), 1.0)
    assert one.wait_s(2.0) == 0


@pytest.mark.parametrize(("wish_s", "rest_s"), [(None, 0), (0, 0), (30, 30), (86_400, 600)])
def test_a_rest_is_as_long_as_asked_and_bounded(wish_s, rest_s):
    assert cooling_s(UpstreamError("rate_limited", "", retry_after_s=wish_s)) == rest_s
