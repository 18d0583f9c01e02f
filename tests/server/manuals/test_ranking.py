import random
from array import array

import pytest
from coffee_manual import OUTLINE, PAGES, make_manual
from hypothesis import given, settings
from hypothesis import strategies as st

from server.manuals.documents import OutlineEntry
from server.manuals.evidence import Evidence, aligned, is_standalone
from server.manuals.ranking import MAX_QUESTION_TERMS, ManualIndex, question_terms


@pytest.fixture(scope="module", params=[OUTLINE, ()], ids=["outline", "layout"])
def index(request):
    return ManualIndex.build(make_manual(outline=request.param))


@pytest.mark.parametrize(
    ("question", "page", "said"),
    [
        ("How do I descale the machine?", 5, "descaled"),
        ("What does the lamp CALC mean?", 5, "CALC lights"),
        ("How much water does the tank hold?", 4, "1.8 litres"),
        ("Is the nozzle hot?", 3, "steam nozzle"),
        ("What is the pump pressure?", 6, "15 bar"),
        ("Does it have wifi at 2.4GHz?", 6, "Wi-Fi"),
    ],
)
def test_the_right_passage_comes_first(index, question, page, said):
    best = index.search(question, 3)[0]
    assert best.passage.page == page
    assert said in index.manual.text[best.passage.start_char : best.passage.end_char]


def test_shares_tell_this_manual_from_another_product(index):
    ours = index.search("How do I rinse the tank with fresh water?", 1)[0].share
    theirs = index.search("How do I pair the headset with a second phone?", 1)
    assert ours > 0.4
    assert all(found.share < 0.2 for found in theirs)


def test_nothing_is_found_without_a_shared_term(index):
    assert index.search("zebra quantum", 5) == []
    assert index.search("how do I", 5) == []
    assert index.search("", 5) == []
    assert index.search("tank", 0) == []


def test_scores_fall_and_shares_are_fractions(index):
    found = index.search("tank water button", 50)
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    assert all(0 < r.share <= 1 for r in found)
    assert index.search("tank water button", 2) == found[:2]


def paged(*pages):
    """Return the index of a manual whose every page is a section."""
    outline = [OutlineEntry(f"Part {page}", page, 0) for page in range(1, len(pages) + 1)]
    return ManualIndex.build(make_manual(pages, outline))


def test_equal_passages_stand_in_document_order():
    index = paged(*["Press the green button to begin the programme."] * 3)
    found = index.search("green button", 6)
    assert [ranked.passage.page for ranked in found] == [1, 2, 3]


def test_neighbouring_words_count_for_more():
    index = paged(
        "The picture is sent to the second screen. Set any size of paper in the tray.",
        "Set the picture size in the menu. The second screen shows paper in the tray.",
        "Clean the lamp.",
    )
    found = index.search("picture size", 2)
    assert found[0].passage.page == 2


def test_running_lines_do_not_count():
    words = ("Alpha.", "Beta.", "Gamma.", "Delta.")
    index = paged(*[f"Brewster BX-40 guide\n{word}" for word in words])
    assert index.search("guide", 4) == []
    assert index.search("gamma", 4)[0].passage.page == 3


def test_long_questions_are_read_to_a_limit(index):
    words = " ".join(f"word{n}" for n in range(1000))
    assert len(question_terms(words)) == MAX_QUESTION_TERMS
    assert index.search(f"{words} descale", 3) == []


def test_an_empty_manual_can_be_searched():
    index = ManualIndex.build(make_manual([""]))
    assert index.passages == ()
    assert index.search("tank", 3) == []
    assert index.size_bytes >= 0


def test_manuals_in_other_languages_are_searched():
    index = paged(
        "電源を入れるには電源ボタンを押します。", "水タンクを水で満たしてください。", "完"
    )
    assert index.search("水タンクの水", 2)[0].passage.page == 2
    index = paged(
        "Ustawianie godziny: naciśnij przycisk zegara.", "Czyszczenie dyszy wodą.", "Koniec."
    )
    assert index.search("czyszczenie dyszy", 2)[0].passage.page == 2


def test_the_same_manual_gives_the_same_answers():
    one, two = (ManualIndex.build(make_manual(outline=OUTLINE)) for _ in range(2))
    question = "rinse the tank with water before the first cup"
    assert one.search(question, 9) == two.search(question, 9)


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_any_question_is_answered(question):
    index = ManualIndex.build(make_manual(PAGES[3:5]))
    assert len(index.search(question, 3)) <= 3


def test_f98_ten_thousand_pages_stay_small_and_quick_to_ask():
    chance = random.Random(98)
    words = [f"w{chance.randrange(30_000)}" for _ in range(40_000)]
    pages = []
    for number in range(10_000):
        start = chance.randrange(39_000)
        pages.append(" ".join(words[start : start + 80]) + f". Part number {number}.")
    index = ManualIndex.build(make_manual(pages))
    assert index.size_bytes < 4 * len(index.manual.text)
    found = index.search("part number 7421", 5)
    assert "7421" in index.manual.text[found[0].passage.start_char : found[0].passage.end_char]


@pytest.mark.parametrize("run", [".", " ", "a", "[ ", "1 ", "x\n", "漢字", "a.b.", "\u200b"])
def test_f98_one_endless_run_is_bounded(run):
    index = ManualIndex.build(make_manual([run * 60_000]))
    assert all(p.end_char - p.start_char <= 20_000 for p in index.passages)


def packed(numbers):
    return array("I", numbers).tobytes()


def test_terms_are_found_at_their_places_only():
    assert list(aligned(packed([1, 256, 1, 1]), packed([1]))) == [0, 2, 3]
    assert list(aligned(packed([0, 65536, 1]), packed([1]))) == [2]
    assert list(aligned(packed([1, 2, 1, 2]), packed([1, 2]))) == [0, 2]


def test_terms_close_together_weigh_more():
    evidence = Evidence({1: 2.0, 2: 3.0}, lambda term: 1.0)
    near, far = [1, 2] + [9] * 60, [1] + [9] * 60 + [2]
    assert evidence.weigh(packed(near), []) == 10.0
    assert evidence.weigh(packed(far), []) == 6.0
    assert evidence.weigh(packed([9, 9]), []) == 0.0


def test_a_line_of_asked_terms_weighs_by_how_much_of_it_is_asked():
    evidence = Evidence({1: 2.0}, lambda term: 2.0)
    sequence = packed([1, 9, 9, 1])
    assert evidence.weigh(sequence, [3, 4]) > evidence.weigh(sequence, [0, 3])
    assert evidence.weigh(sequence, [0, 3]) > evidence.weigh(sequence, [])


@pytest.mark.parametrize(
    ("line", "alone"),
    [
        ("Descaling", True),
        ("  Wi-Fi  ", True),
        ("and then press it", False),
        ("It is hot.", False),
        ("", False),
        ("A title that is far too long to stand on its own in any manual at all", False),
        ("One two three four five six seven eight nine", False),
    ],
)
def test_titles_and_names_stand_on_their_own(line, alone):
    assert is_standalone(line, 80) is alone
