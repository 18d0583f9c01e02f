"""Wilson's interval against published values, exact binomial sums and its defining equation."""

from fractions import Fraction
from math import comb, isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.insights.intervals import MIN_DECIDED, Z_95, rate, rating, two_sided_p, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_are_where_the_score_test_just_rejects(counts):
    successes, trials = counts
    share = successes / trials
    low, high = wilson(successes, trials)
    for end in (low, high):
        if 0 < end < 1:
            score = abs(share - end) / sqrt(end * (1 - end) / trials)
            assert isclose(score, Z_95, rel_tol=1e-6)
    assert 0 <= low <= share <= high <= 1


@given(
    st.floats(0, 1e6, allow_nan=False).flatmap(
        lambda n: st.tuples(st.floats(0, n + 0.5), st.just(n + 0.5))
    )
)
def test_wilson_of_weighted_counts_holds_its_share(counts):
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert 0 <= low <= min(1, successes / trials) <= high <= 1
    mirrored = wilson(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def coverage(trials: int, share: Fraction) -> Fraction:
    """The exact probability that the interval holds the true share."""
    held = Fraction(0)
    for successes in range(trials + 1):
        low, high = wilson(successes, trials)
        if low <= share <= high:
            held += comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)
    return held


@pytest.mark.parametrize("trials", [MIN_DECIDED, 50, 200])
def test_wilson_holds_the_true_share_95_times_in_100(trials):
    held = [coverage(trials, Fraction(tenths, 20)) for tenths in range(1, 20)]
    assert min(held) >= Fraction(91, 100)
    assert 0.945 <= sum(held) / len(held) <= 0.965


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5), (0, -3)])
def test_wilson_refuses_what_is_no_share(successes, trials):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)


def test_rate_says_nothing_of_too_few_events_and_says_why():
    little = rate(19, 19)
    assert (little.value, little.low, little.high, little.of) == (None, None, None, 19)
    assert little.reason == "too few decided events: 19 of at least 20"
    assert rate(0, 0).reason == "too few decided events: 0 of at least 20"


def test_rate_of_enough_events_has_an_interval_and_no_reason():
    enough = rate(15, 20)
    assert enough.value == 0.75
    assert enough.reason is None
    assert enough.low is not None
    assert enough.high is not None
    assert enough.low < 0.75 < enough.high


def test_sums_of_weights_that_binary_fractions_miss_still_count_as_enough():
    weights = sum([0.1] * 200)
    assert weights != 20
    assert rate(weights, 20).value == 1.0
    assert rate(10, weights).value == pytest.approx(0.5)


def test_rating_is_the_mean_with_an_interval_no_narrower_than_the_scores_allow():
    scores = [1, 5] * 20
    worst = rating(sum(scores), len(scores))
    assert worst.mean == 3
    low, high = wilson(20, 40)
    assert (worst.low, worst.high) == (1 + 4 * low, 1 + 4 * high)
    assert rating(19 * 5, 19).reason == "too few ratings: 19 of at least 20"


@given(st.lists(st.integers(1, 5), min_size=20, max_size=200))
def test_rating_interval_is_wider_than_the_one_from_the_true_variance(scores):
    found = rating(sum(scores), len(scores))
    mean = sum(scores) / len(scores)
    assert found.mean == mean
    assert 1 <= found.low <= mean <= found.high <= 5
    variance = sum((score - mean) ** 2 for score in scores) / len(scores)
    assert variance <= (mean - 1) * (5 - mean) + 1e-9


@pytest.mark.parametrize(("z", "p"), [(1.959963984540054, 0.05), (2.5758293035489, 0.01), (0, 1)])
def test_two_sided_p_of_known_points(z, p):
    assert two_sided_p(z) == pytest.approx(p)
    assert two_sided_p(-z) == pytest.approx(p)
