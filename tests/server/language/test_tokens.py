from hypothesis import given
from hypothesis import strategies as st

from server.language.tokens import count_words, estimate_tokens


def test_four_latin_characters_are_a_token():
    assert estimate_tokens("") == 0
    assert estimate_tokens("abcd") == 1
    assert estimate_tokens("abcde") == 2


def test_a_chinese_character_is_a_token():
    assert estimate_tokens("电源打开") == 4
    assert estimate_tokens("电源 on ok") == 2 + 2


def test_other_scripts_lie_between():
    assert estimate_tokens("питание") == 4


@given(st.text(max_size=200), st.text(max_size=200))
def test_estimates_add_up(one, two):
    both = estimate_tokens(one + two)
    assert both <= estimate_tokens(one) + estimate_tokens(two) <= both + 1


def test_words_of_any_script_are_counted():
    assert count_words("three plain words") == 3
    assert count_words("电源打开") == 2
    assert count_words("a" * 400) == 10
    assert count_words(" \n ") == 0
