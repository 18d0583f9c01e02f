import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.answering.confidence import (
    LEVEL_MARGIN,
    Judgement,
    Thresholds,
    assess,
    estimate,
)
from server.llm.port import ContextPassage
from server.manuals.context import Context

PASSAGE = ContextPassage(1, "Care", "Wipe it.", 0, 0.5)
USUAL = Thresholds()
fractions = st.floats(0, 1)


def found(share, margin=0.5, question_terms=3):
    return Context((PASSAGE,), (), share, margin, 3, question_terms)


def test_the_usual_thresholds_are_those_of_the_contract():
    assert Thresholds(rephrase_below=0.4, hedge_below=0.6) == USUAL


def test_without_a_manual_confidence_means_nothing():
    judged = assess(None, thresholds=USUAL, model_signal=0.9)
    assert judged == Judgement(None, is_confused=False, guidance="abstain")


def test_no_passage_means_abstain():
    judged = assess(Context(share=0.1, question_terms=4), thresholds=USUAL)
    assert judged.guidance == "abstain"
    assert judged.confidence is not None
    assert judged.confidence < 0.4


def test_a_clear_match_is_answered():
    assert assess(found(0.8), thresholds=USUAL).guidance == "answer"


def test_two_level_sections_confuse():
    judged = assess(found(0.9, margin=LEVEL_MARGIN / 2), thresholds=USUAL)
    assert judged.is_confused
    assert judged.guidance == "hedge"
    assert not assess(found(0.9, margin=LEVEL_MARGIN), thresholds=USUAL).is_confused


def test_a_question_without_content_confuses():
    assert assess(Context(), thresholds=USUAL) == Judgement(
        estimate(0, 0), is_confused=True, guidance="abstain"
    )


def test_a_model_can_only_lower_the_confidence():
    assert estimate(0.8, 0.5, model_signal=1.0) == estimate(0.8, 0.5)
    assert estimate(0.8, 0.5, model_signal=0.0) == 0.5
    assert estimate(0.1, 0.0, model_signal=0.0) == estimate(0.1, 0.0)


@given(fractions, fractions, st.none() | fractions)
def test_confidence_is_a_fraction(share, margin, signal):
    assert 0 <= estimate(share, margin, signal) <= 1


@given(fractions, fractions, fractions)
def test_more_share_or_margin_never_lowers_it(one, two, other):
    low, high = sorted((one, two))
    assert estimate(low, other) <= estimate(high, other)
    assert estimate(other, low) <= estimate(other, high)


@given(fractions, fractions, st.integers(0, 5), fractions, fractions, st.none() | fractions)
def test_guidance_follows_from_the_numbers(share, margin, terms, one, two, signal):
    rephrase_below, hedge_below = sorted((one, two))
    judged = assess(
        found(share, margin, terms),
        thresholds=Thresholds(rephrase_below, hedge_below),
        model_signal=signal,
    )
    assert judged.confidence is not None
    if judged.confidence < rephrase_below:
        assert judged.guidance == "rephrase"
    elif judged.is_confused or judged.confidence < hedge_below:
        assert judged.guidance == "hedge"
    else:
        assert judged.guidance == "answer"


@given(fractions, fractions)
def test_at_its_threshold_a_confidence_is_not_below_it(share, margin):
    exact = estimate(share, margin)
    context = found(share, margin)
    assert assess(context, thresholds=Thresholds(exact, exact)).guidance in ("answer", "hedge")
    just_above = Thresholds(min(1.0, exact + 0.001), 1.0)
    if exact < just_above.rephrase_below:
        assert assess(context, thresholds=just_above).guidance == "rephrase"


def test_rephrase_wins_over_hedge():
    judged = assess(found(0.2, margin=0.0), thresholds=USUAL)
    assert judged.is_confused
    assert judged.guidance == "rephrase"


@given(st.floats(0, 0.17), st.integers(0, 5), fractions, fractions)
def test_without_passages_no_threshold_matters(share, terms, one, two):
    context = Context(share=share, question_terms=terms)
    assert assess(context, thresholds=Thresholds(one, two)).guidance == "abstain"


@pytest.mark.parametrize(("share", "margin", "expected"), [(0.4375, 0.0, 0.5), (0.0, 0.0, 0.057)])
def test_the_formula_is_the_documented_one(share, margin, expected):
    assert estimate(share, margin) == pytest.approx(expected, abs=0.001)
