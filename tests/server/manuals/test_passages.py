from itertools import pairwise

import pytest
from coffee_manual import OUTLINE, PAGES, make_manual
from hypothesis import given, settings
from hypothesis import strategies as st

from server.language.tokens import count_words
from server.manuals.documents import OutlineEntry
from server.manuals.headings import outline_sections, short_path
from server.manuals.layout import (
    is_listing,
    normal,
    page_at,
    page_lines,
    page_offsets,
    split_running_lines,
)
from server.manuals.passages import MAX_WORDS, cut_passages

OUTLINES = pytest.mark.parametrize("outline", [OUTLINE, ()], ids=["outline", "layout"])


def cut_text(manual):
    return [manual.text[p.start_char : p.end_char] for p in cut_passages(manual).passages]


@OUTLINES
def test_passages_lie_inside_sections(outline):
    manual = make_manual(outline=outline)
    by_heading = {
        passage.heading.rsplit(" > ", 1)[-1].lstrip("0123456789. "): passage
        for passage in cut_passages(manual).passages
    }
    assert {"Filling the tank", "First rinse", "Descaling", "Technical data"} <= set(by_heading)
    passage = by_heading["Descaling"]
    text = manual.text[passage.start_char : passage.end_char]
    assert "CALC for three seconds" in text
    assert "mark MAX" not in text
    assert passage.page == 5


def test_titles_of_an_outline_are_paths():
    headings = {passage.heading for passage in cut_passages(make_manual(outline=OUTLINE)).passages}
    assert "Getting started > Filling the tank" in headings


@OUTLINES
def test_contents_pages_are_left_out(outline):
    assert not any(". . . ." in text for text in cut_text(make_manual(outline=outline)))


def test_running_lines_are_told_apart():
    manual = make_manual()
    running = [manual.text[slice(*span)] for span in cut_passages(manual).running]
    assert running == [f"Brewster BX-40 User guide {page}" for page in range(2, 7)]


WORDS = ["apple", "birch", "cedar", "daisy", "elder"]


def test_titles_that_differ_by_their_number_are_no_running_lines():
    pages = [f"{word}\nNotes for Version 1.{n}\nIt is {word}." for n, word in enumerate(WORDS)]
    assert cut_passages(make_manual(pages)).running == ()


def test_a_footer_with_the_chapter_is_known_by_its_beginning():
    pages = [
        f"The {word} one.\n{word} two.\nMore {word}.\nSo {word}.\nBrewster BX-40 {word} at home"
        for word in WORDS
    ]
    manual = make_manual(pages)
    running = [manual.text[slice(*span)] for span in cut_passages(manual).running]
    assert running == [f"Brewster BX-40 {word} at home" for word in WORDS]


def test_a_page_keeps_its_lines_when_nothing_else_would_stay():
    manual = make_manual(["The same words on every page."] * 6)
    assert cut_passages(manual).running == ()
    assert len(cut_passages(manual).passages) == 1


def test_lone_page_numbers_are_running_lines():
    manual = make_manual([f"A line of page {'abc'[n]}\n- {n} -" for n in range(3)])
    kept, running = split_running_lines(
        manual.text, page_lines(manual.text, page_offsets(manual.text))
    )
    assert len(running) == 3
    assert all(len(page) == 1 for page in kept)


@OUTLINES
def test_a_page_is_where_its_passage_starts(outline):
    manual = make_manual(outline=outline)
    offsets = page_offsets(manual.text)
    for passage in cut_passages(manual).passages:
        assert passage.page == page_at(offsets, passage.start_char)
        assert manual.text[: passage.start_char].count("\f") == passage.page - 1


def test_long_sections_are_cut_evenly():
    pages = ["1 Long section\n" + "The pump runs until the tank is empty. " * 130]
    outline = (OutlineEntry("Long section", 1, 0),) * 3
    sizes = [count_words(text) for text in cut_text(make_manual(pages, outline))]
    assert len(sizes) == 5
    assert all(150 <= size <= MAX_WORDS for size in sizes)


def test_passages_end_with_sentences():
    pages = ["1 Long section\n" + "The pump runs until the tank is empty. " * 130]
    assert all(text.endswith("empty.") for text in cut_text(make_manual(pages)))


def test_a_section_runs_over_a_page_break():
    pages = ["1 Rinsing\nRinse the tank with", "fresh water before the first cup of the day."]
    outline = (OutlineEntry("Rinsing", 1, 0),) * 3
    assert cut_text(make_manual(pages, outline)) == ["\f".join(pages)]


def test_titles_are_found_over_two_lines_and_without_their_number():
    text = "Chapter 2. Cleaning the\nsteam nozzle\nUse a cloth.\nStoring\nKeep it dry."
    lines = [line for page in page_lines(text, [0]) for line in page]
    outline = [OutlineEntry("Cleaning the steam nozzle", 1, 0), OutlineEntry("3 Storing", 1, 0)]
    sections = outline_sections(text, lines, outline)
    assert [(s.path, s.first, s.last) for s in sections] == [
        (("Cleaning the steam nozzle",), 0, 3),
        (("3 Storing",), 3, 5),
    ]


def test_titles_that_are_not_found_start_with_their_page():
    text = "One\nline\fTwo\nlines"
    lines = [line for page in page_lines(text, page_offsets(text)) for line in page]
    sections = outline_sections(text, lines, [OutlineEntry("Nowhere", 2, 0)])
    assert [(s.path, s.first, s.last) for s in sections] == [((), 0, 2), (("Nowhere",), 2, 4)]


def test_an_outline_that_points_past_the_end_is_harmless():
    outline = [OutlineEntry(f"Title {n}", 900 + n, n) for n in range(5)]
    assert cut_text(make_manual(outline=outline))


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("3.2.1 First rinse", "first rinse"),
        ("Chapter 7: Care", "care"),
        ("A.2 Codes", "codes"),
        ("Première mise en service", "premiere mise en service"),
        ("2", "2"),
    ],
)
def test_titles_are_compared_without_number_and_case(title, bare):
    assert normal(title) == bare


def test_long_paths_keep_the_nearest_titles():
    path = ["Outer " * 20, "Middle " * 20, "Inner"]
    assert short_path(path) == f"{path[1]} > Inner"
    assert short_path(()) == ""


def listing(text):
    return is_listing(text, page_lines(text, [0])[0])


def test_index_pages_are_listings():
    entries = [f"{word}, {page}, {page + 7}" for page, word in enumerate("abcdefghijklmn", 10)]
    assert listing("Index\n" + "\n".join(entries))


def test_contents_without_leaders_are_listings():
    assert listing("\n".join(f"Section {chr(65 + n)} {3 * n + 5}" for n in range(20)))


def test_tables_of_values_are_no_listings():
    assert not listing("\n".join(f"Programme {chr(65 + n)} {(n * 37) % 90}" for n in range(20)))
    assert not listing(PAGES[5])
    assert not listing("")


def test_a_manual_of_listings_keeps_its_pages():
    pages = ["\n".join(f"Code {n} . . . . . . . {n}" for n in range(p, p + 20)) for p in range(4)]
    assert cut_text(make_manual(pages))


def test_empty_pages_give_no_passages():
    assert cut_passages(make_manual(["", " \n ", ""])).passages == ()


page_texts = st.lists(
    st.lists(
        st.sampled_from(
            [
                "1 Title",
                "Section Two",
                "Some text that goes on for a while.",
                "• entry",
                "",
                "  ",
                "Header",
                "word " * 60,
                "漢字" * 40,
                "12",
                "Contents",
                "a . . . . . 3",
            ]
        ),
        max_size=25,
    ).map("\n".join),
    min_size=1,
    max_size=6,
)
entries = st.lists(
    st.builds(
        OutlineEntry,
        st.sampled_from(["Title", "Section Two", "Header", "Missing", ""]),
        st.integers(1, 9),
        st.integers(0, 3),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(page_texts, entries)
def test_passages_are_in_order_and_never_overlap(pages, outline):
    manual = make_manual(pages, outline)
    passages = cut_passages(manual).passages
    assert all(p.start_char < p.end_char <= len(manual.text) for p in passages)
    assert all(one.end_char <= two.start_char for one, two in pairwise(passages))
    sizes = [count_words(manual.text[p.start_char : p.end_char]) for p in passages]
    assert all(size <= MAX_WORDS + MAX_WORDS // 2 for size in sizes)
