import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.language.terms import MAX_TERM_CHARS, STOP_WORDS, fold, stem, terms


def test_question_words_are_no_terms():
    assert terms("How do I connect it to the amplifier?") == ["connect", "amplifier"]


def test_stop_words_alone_give_nothing():
    assert terms("What is it? How do I?") == []
    assert terms("") == []


@pytest.mark.parametrize("written", ["TD-17", "td17", "Td_17", "TD 17", "td.17"])
def test_model_numbers_are_found_however_they_are_written(written):
    assert "td17" in terms(written)


@pytest.mark.parametrize("written", ["5 GHz", "5GHz", "5ghz", "5-GHz"])
def test_numbers_meet_their_units(written):
    assert "5ghz" in terms(written)


@pytest.mark.parametrize("written", ["HDMI 1", "HDMI1", "hdmi-1"])
def test_inputs_meet_their_numbers(written):
    assert "hdmi1" in terms(written)


def test_hyphenated_words_give_parts_and_the_whole():
    assert terms("Wi-Fi") == ["wi", "fi", "wifi"]
    assert terms("set-up") == ["set", "setup"]


@pytest.mark.parametrize(
    "words",
    [
        "connect connects connected connecting",
        "battery batteries",
        "change changes changed changing",
        "stop stops stopped stopping",
        "update updates updated updating",
        "setting settings",
    ],
)
def test_forms_of_a_word_share_a_stem(words):
    assert len(set(terms(words))) == 1


@pytest.mark.parametrize("word", ["bus", "gas", "glass", "usb", "lens", "4k", "status", "hdmi1"])
def test_short_and_odd_words_keep_apart(word):
    assert terms(word)
    assert stem("status") == "status"
    assert stem("glass") == "glass"


def test_possessives_and_negations_lose_their_tail():
    assert terms("the television's remote") == terms("television remote")
    assert terms("don't") == []


def test_accents_and_case_are_folded():
    assert fold("ÉTÉ") == "ete"
    assert terms("Réglages") == terms("REGLAGES")
    assert terms("ﬁlter") == terms("filter")


def test_french_function_words_are_no_terms():
    assert terms("Comment est-ce que je règle l'heure de la minuterie ?") == terms(
        "règle heure minuterie"
    )


def test_scripts_without_blanks_give_pairs_of_characters():
    assert terms("電源を") == ["電源", "源を"]
    assert set(terms("電源")) <= set(terms("電源を入れる"))
    assert terms("电") == ["电"]


def test_korean_syllables_stay_whole():
    assert terms("전원을") == ["전원", "원을"]


def test_devanagari_keeps_its_vowel_signs():
    assert fold("कि") == "कि"


@given(st.text(max_size=300))
def test_every_text_gives_bounded_terms(text):
    found = terms(text)
    assert all(term and not any(char.isspace() for char in term) for term in found)
    assert all(len(term) <= MAX_TERM_CHARS * 8 for term in found)
    assert found == terms(text)


@given(st.lists(st.sampled_from(sorted(STOP_WORDS)), max_size=20))
def test_stop_words_in_any_number_give_nothing(words):
    assert not set(terms(" ".join(words))) & STOP_WORDS


def test_f98_a_run_without_blanks_stays_bounded():
    assert max(map(len, terms("a" * 1_000_000))) <= MAX_TERM_CHARS
