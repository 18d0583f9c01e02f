from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.language.sentences import sentences


def cut(text):
    return [text[start:end] for start, end in sentences(text)]


def test_full_stops_end_sentences():
    assert cut("Press it. Then wait! Really? Yes.") == [
        "Press it.",
        "Then wait!",
        "Really?",
        "Yes.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Use e.g. the front input.",
        "See Fig. 3 for the jack.",
        "Set approx. 3.5 V at the output.",
        "Open No. 5 first.",
        "Ask J. Smith about it.",
        "Sold in the U.S. Only there it has a plug.",
        "Version 2.10.1 adds it.",
    ],
)
def test_abbreviations_and_decimals_do_not(sentence):
    assert cut(sentence) == [sentence]


def test_a_sentence_may_end_in_etc():
    assert cut("Cables, plugs, etc. Keep them dry.") == ["Cables, plugs, etc.", "Keep them dry."]


def test_wrapped_lines_read_on():
    text = "Hold the button until the lamp\nlights, then let\ngo. Wait."
    assert cut(text) == ["Hold the button until the lamp\nlights, then let\ngo.", "Wait."]


def test_bold_words_on_lines_of_their_own_read_on():
    text = "Set the\nClock Mode\nto automatic\n, and wait."
    assert cut(text) == [text]


def test_list_entries_are_sentences():
    text = "• Turn it on\n• Turn it off\n1. First press\n2) Then wait\n- Done"
    assert cut(text) == text.split("\n")


def test_a_list_entry_may_wrap():
    assert cut("• Turn it on with\nthe switch\n• Wait") == [
        "• Turn it on with\nthe switch",
        "• Wait",
    ]


def test_numbers_of_a_list_are_no_sentences():
    assert cut("1. Press the button. 2. Wait.")[0] == "1. Press the button."


def test_table_lines_stand_alone():
    text = "Weight    3.5 kg\nPower\t40 W\nHeight | 20 cm"
    assert cut(text) == text.split("\n")


def test_headings_stand_alone():
    assert cut("Cleaning\n\nUse a dry cloth.") == ["Cleaning", "Use a dry cloth."]
    assert cut("Cleaning\nUse a dry cloth.") == ["Cleaning", "Use a dry cloth."]


def test_pages_end_sentences():
    assert cut("it goes\fon here") == ["it goes", "on here"]


def test_chinese_and_japanese_stops_need_no_blank():
    assert cut("电源打开。请等待！好") == ["电源打开。", "请等待！", "好"]


def test_closing_marks_stay_with_their_sentence():
    assert cut('He said "Wait." Then (press it.) Go.')[0] == 'He said "Wait."'


@given(st.text(alphabet="aB1 .\n\f!?•-\"')(,;:\t。漢", max_size=200))
def test_spans_cover_every_visible_character_once(text):
    spans = sentences(text)
    assert all(start < end for start, end in spans)
    assert all(not text[start].isspace() and not text[end - 1].isspace() for start, end in spans)
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
    assert "".join(text[s:e] for s, e in spans).split() == text.split() or (
        "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())
    )


@pytest.mark.parametrize("run", [".", " ", "a", "'", "1 ", "!'", "\n", "- "])
def test_f98_long_runs_are_read_in_one_go(run):
    assert sum(end - start for start, end in sentences(run * 200_000)) <= len(run) * 200_000
