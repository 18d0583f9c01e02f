"""What a judgement teaches, and why most judgements of a kind teach nothing."""

import pytest
from judgements import interaction, judgement

from server.datasets.examples import Example, Pair, example_of, modified_pair
from server.storage.store import Judged


def judged(about=None, **fields):
    return Judged(judgement(**fields), interaction(**(about or {})))


def test_an_accepted_answer_is_an_example_as_it_stands():
    assert example_of(judged()) == Example("How do I descale it?", "Fill the tank.")


def test_a_modified_answer_is_an_example_with_its_final_text():
    found = example_of(judged(action="modify", final_text="Fill the tank to MAX."))
    assert found == Example("How do I descale it?", "Fill the tank to MAX.")


def test_a_modified_answer_is_a_pair_even_when_the_original_was_cut():
    found = modified_pair(
        judged({"outcome": "incomplete"}, action="modify", final_text="Fill it to MAX.")
    )
    assert found == Pair("How do I descale it?", "Fill it to MAX.", "Fill the tank.")


def test_the_system_text_names_the_product():
    found = example_of(judged({"product_id": "td-17"}), "Answer about {product_id}. {x}")
    assert found.system == "Answer about td-17. {x}"


@pytest.mark.parametrize(
    ("about", "fields", "reason"),
    [
        ({}, {"action": "reject"}, "rejected"),
        ({}, {"action": "rate", "score": 5}, "rated"),
        ({}, {"action": "dismiss"}, "dismissed"),
        ({}, {"item_id": "i1"}, "item_judgement"),
        ({}, {"weight": 0.25}, "not_counted"),
        ({"outcome": "incomplete"}, {}, "unfinished_answer"),
        ({"question": " \n"}, {}, "empty_question"),
        ({"answer": "\u2003"}, {}, "empty_answer"),
        ({}, {"action": "modify", "final_text": " "}, "empty_answer"),
    ],
)
def test_what_teaches_nothing_says_why(about, fields, reason):
    assert example_of(judged(about, **fields)) == reason


def test_a_judgement_of_an_answer_that_was_never_stored_teaches_nothing():
    lone = Judged(judgement(), None)
    assert example_of(lone) == "no_interaction"
    assert modified_pair(lone) == "no_interaction"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no_pair"),
        ({"action": "modify", "final_text": "Fill the tank.\n"}, "same_text"),
        ({"action": "modify", "final_text": "x", "item_id": "i1"}, "item_judgement"),
    ],
)
def test_what_makes_no_pair_says_why(fields, reason):
    assert modified_pair(judged(**fields)) == reason
