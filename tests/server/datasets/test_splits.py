"""Splits hold still, keep questions together and come near their shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.datasets.splits import SPLITS, group_key, normalise_question, part_of


@pytest.mark.parametrize(
    "variant",
    ["How do I reset the TD-17?", "how to reset td-17", "RESET the  TD-17!", "Resetting a TD-17"],
)
def test_one_question_asked_differently_is_one_question(variant):
    assert normalise_question(variant) == normalise_question("How do I reset the TD-17?")


def test_other_questions_are_not_merged():
    asked = [
        "How do I descale it?",
        "What does the red light mean?",
        "???",
        "!",
        "Wie entkalke ich?",
    ]
    assert len({normalise_question(question) for question in asked}) == len(asked)


@given(st.text())
def test_blanks_around_a_question_do_not_count(question):
    assert normalise_question(f" {question}\n") == normalise_question(question)


def test_the_same_question_about_two_products_is_two_groups():
    assert group_key("a", "How?") != group_key("b", "How?")


def test_a_split_never_changes_between_releases():
    """These are promises: training data published once must not leak into later tests."""
    keys = [group_key("td-17", f"question number {index}") for index in range(30, 46)]
    found = [part_of(key, "80/10/10", "manicule")[:2] for key in keys]
    assert " ".join(found) == "tr tr tr tr tr tr tr va tr tr tr te tr va te tr"


@pytest.mark.parametrize("split", ["80/20", "80/10/10"])
def test_shares_come_near_what_they_should_be(split):
    keys = [group_key("p", f"what is {index}") for index in range(10_000)]
    found = [part_of(key, split, "seed") for key in keys]
    for part, share in SPLITS[split]:
        assert abs(found.count(part) / len(keys) - share / 100) < 0.015


@given(st.text(), st.text(max_size=10))
def test_the_training_part_is_the_same_in_both_splits(key, seed):
    two, three = part_of(key, "80/20", seed), part_of(key, "80/10/10", seed)
    assert (two == "train") == (three == "train")
    assert part_of(key, "none", seed) == "all"


def test_another_seed_makes_another_split():
    keys = [f"k{index}" for index in range(200)]
    assert [part_of(key, "80/20", "a") for key in keys] != [
        part_of(key, "80/20", "b") for key in keys
    ]
