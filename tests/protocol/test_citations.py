"""Pointers and the quotes they resolve to, as tables."""

from __future__ import annotations

import pytest

from protocol.citations import (
    MAX_PAGE,
    MAX_QUOTE_CHARS,
    MAX_SEARCHED_CHARS,
    Citation,
    Dropped,
    Pointer,
    parse_pointer,
    resolve,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('p.12 "first words"', Pointer(12, "first words")),
        ("p. 12", Pointer(12)),
        ("P12", Pointer(12)),
        ("12", Pointer(12)),
        ("012", Pointer(12)),
        (" page 12 “first words” ", Pointer(12, "first words")),
        ("pages 12–13 “words”", Pointer(12, "words")),
        ('pp. 12-13 "words…"', Pointer(12, "words…")),
        ('p. 12, p. 14: "words"', Pointer(12, "words")),
        ("page 12 of 30", Pointer(12)),
        ('p.12: "words"', Pointer(12, "words")),
        ('p.12, "words"', Pointer(12, "words")),
        ('p.12"words"', Pointer(12, "words")),
        ('12 "words"', Pointer(12, "words")),
        ("p.12 'don't press'", Pointer(12, "don't press")),
        ("p.12 ‘words’", Pointer(12, "words")),
        ("S.12", None),
        ("p. 12 «des mots»", Pointer(12, "des mots")),
        ("p. 12 „Wörter“", Pointer(12, "Wörter")),
        ("p. 12 »Wörter«", Pointer(12, "Wörter")),
        ("p. 12 「電源」", Pointer(12, "電源")),
        ('p.12 "the 12" screen"', Pointer(12, 'the 12" screen')),
        ('p.12 "words" (see there)', Pointer(12, "words")),
        ('p.12 "not closed', Pointer(12, "not closed")),
        ("p.12 words without marks", Pointer(12, "words without marks")),
        ("p.12 - words", Pointer(12, "words")),
        ('p.12 "line\nbreak"', Pointer(12, "line\nbreak")),
        ('p.12 ""', Pointer(12)),
        ('p.12 "…"', Pointer(12)),
        ('p.12 "A"', Pointer(12)),
        ("p.12 (see)", Pointer(12, "(see)")),
        ("p.12.", Pointer(12)),
        (f"p.{MAX_PAGE}", Pointer(MAX_PAGE)),
        (f"p.{MAX_PAGE + 1}", None),
        ("p.1234567", None),
        ("p.0", None),
        ("p.-1", None),
        ("p.x", None),
        ("p.", None),
        ("", None),
        ("p.12abc", None),
        ("12 monkeys", None),
        ("12.5", None),
        ("p.１２", None),
        ("first words", None),
        ('"first words"', None),
        ("chapter 3", None),
    ],
)
def test_parse_pointer(body, expected):
    assert parse_pointer(body) == expected


def test_a_hostile_body_is_parsed_in_time():
    for body in ("p." + " " * 50_000, "1" * 50_000, "1-" * 20_000, "12 " + '"' * 50_000):
        parse_pointer(body)


PAGE_1 = """Cleaning the appli-
ance

Switch off the  power and pull the plug. Wipe it with a “soft”
cloth, e.g. cotton — never steel wool. Use a fuse of 0.5 A (max. 3 pieces). Its ﬁlter lasts
6 months!
• Rinse the ﬁlter
• Let it dry
1. Open the lid. 2. Close it."""
PAGE_2 = (
    "The soft\u00adware is up to date. Prüfen Sie die Straße. Press 设置按钮打开菜单。然后关闭。"
)
MANUAL = f"{PAGE_1}\f{PAGE_2}\f\fSwitch off the power. End"
STARTS = (0, len(PAGE_1) + 1, len(PAGE_1) + len(PAGE_2) + 2, len(PAGE_1) + len(PAGE_2) + 3)
ALL = ((1, 0, len(MANUAL)),)


def cite(body: str, context=ALL, claim: str = "", text: str = MANUAL, starts=STARTS):
    found = resolve(parse_pointer(body), text, starts, context, claim)
    if isinstance(found, Dropped):
        return found.reason
    assert found.cited_text == text[found.start_char : found.end_char]
    assert found.verified
    assert found.cited_text == found.cited_text.strip() != ""
    assert "\f" not in found.cited_text
    assert text.count("\f", 0, found.start_char) == found.page - 1
    return found.cited_text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('p.1 "Switch off the power"', "Switch off the  power and pull the plug."),
        ('p.1 "switch OFF\nthe   power"', "Switch off the  power and pull the plug."),
        ('p.1 "pull the plug."', "pull the plug."),
        ('p.1 "pull the plug..."', "pull the plug."),
        ('p.1 "…pull the pl…"', "pull the plug."),
        ('p.1 "Cleaning the appliance"', "Cleaning the appli-\nance"),
        ('p.1 "the appli- ance"', "the appli-\nance"),
        (
            "p.1 \"with a 'soft' cloth\"",
            "with a “soft”\ncloth, e.g. cotton — never steel wool.",
        ),
        ('p.1 "cotton - never"', "cotton — never steel wool."),
        ('p.1 "a fuse of 0.5 A"', "a fuse of 0.5 A (max. 3 pieces)."),
        ('p.1 "its filter lasts"', "Its ﬁlter lasts\n6 months!"),
        ('p.1 "filter lasts 6 months!"', "ﬁlter lasts\n6 months!"),
        ('p.1 "Rinse the filter"', "Rinse the ﬁlter"),
        ('p.1 "Open the lid"', "Open the lid."),
        (
            'p.1 "the plug. Wipe it"',
            "the plug. Wipe it with a “soft”\ncloth, e.g. cotton — never steel wool.",
        ),
        ('p.2 "the software"', "The soft\u00adware is up to date."),
        ('p.2 "prüfen Sie die STRASSE"', "Prüfen Sie die Straße."),
        ('p.2 "Pru\u0308fen"', "Prüfen Sie die Straße."),
        ('p.2 "打开菜单"', "打开菜单。"),
        ('p.4 "switch off the power"', "Switch off the power."),
        ('p.1 "steel wool. End"', "quote_not_found"),
        ('p.1 "Switch on the power"', "quote_not_found"),
        ('p.2 "Switch off the power"', "quote_not_found"),
        ('p.1 "witch off"', "quote_not_found"),
        ('p.1 "Switch of"', "quote_not_found"),
        ('p.1 "5 A"', "quote_not_found"),
        ('p.1 "a fuse of 0"', "quote_not_found"),
        ('p.1 "ilter lasts"', "quote_not_found"),
        ('p.1 "2. Close it. The software"', "quote_not_found"),
        ('p.3 "anything"', "page_not_in_context"),
        ("p.3", "page_not_in_context"),
        ("p.5", "page_not_in_context"),
        (f"p.{MAX_PAGE}", "page_not_in_context"),
        ("everywhere", "malformed"),
    ],
)
def test_resolve(body, expected):
    assert cite(body) == expected


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (
            "Never clean it with steel wool.",
            "Wipe it with a “soft”\ncloth, e.g. cotton — never steel wool.",
        ),
        ("Pull the plugs before cleaning", "Switch off the  power and pull the plug."),
        ("It needs a 0.5 A fuse", "Use a fuse of 0.5 A (max. 3 pieces)."),
        ("Pull the plug. The filter lasts half a year.", "Its ﬁlter lasts\n6 months!"),
        ("The filter dries. So it is.", "Its ﬁlter lasts\n6 months!"),
        ("It is for you and them.", "Cleaning the appli-\nance"),
        ("", "Cleaning the appli-\nance"),
    ],
)
def test_a_bare_pointer_takes_the_sentence_closest_to_the_claim(claim, expected):
    assert cite("p.1", claim=claim) == expected


def test_a_bare_pointer_stays_within_the_context():
    start = MANUAL.index("Use a fuse")
    context = ((1, start, MANUAL.index("Its")),)
    assert cite("p.1", context, "Pull the plug") == "Use a fuse of 0.5 A (max. 3 pieces)."


def test_words_may_stand_outside_the_context_on_its_page():
    context = ((1, 0, 8),)
    assert cite('p.1 "Use a fuse"', context) == "Use a fuse of 0.5 A (max. 3 pieces)."
    assert cite('p.2 "up to date"', context) == "page_not_in_context"


def test_a_span_touches_every_page_it_reaches():
    context = ((1, len(PAGE_1) - 5, len(PAGE_1) + 20),)
    assert cite('p.2 "up to date"', context) == "up to date."
    assert cite('p.4 "Switch off"', context) == "page_not_in_context"


@pytest.mark.parametrize("context", [(), ((1, 0, 0),), ((1, len(PAGE_1), len(PAGE_1) + 1),)])
def test_blank_context_touches_no_page(context):
    assert cite("p.1", context) == cite("p.2", context) == "page_not_in_context"


def test_of_several_places_the_one_in_the_context_is_taken():
    text = "Press it. Then go. Press it now."
    second = text.rindex("Press")
    assert cite('p.1 "press it"', ((1, 0, 32),), text=text, starts=(0,)) == "Press it."
    context = ((1, second, len(text)),)
    assert cite('p.1 "press it"', context, text=text, starts=(0,)) == "Press it now."


def test_a_whole_word_is_found_after_a_part_of_one():
    text = "Rinse, dry in air."
    assert cite('p.1 "in"', ((1, 0, len(text)),), text=text, starts=(0,)) == "in air."


@pytest.mark.parametrize("filling", ["word ", "longer-words ", "\u3042"])
def test_a_long_sentence_is_cut_at_the_end_of_a_word(filling):
    text = "Begin here " + filling * 400
    whole = ((1, 0, len(text)),)
    for body in ('p.1 "Begin here"', "p.1"):
        quote = cite(body, whole, text=text, starts=(0,))
        assert MAX_QUOTE_CHARS - len(filling) <= len(quote) <= MAX_QUOTE_CHARS
        assert text[len(quote)].isspace() or filling == "\u3042"


def test_a_word_longer_than_a_quote_is_cut():
    text = "x" * 1_000
    assert cite("p.1", ((1, 0, 1_000),), text=text, starts=(0,)) == "x" * MAX_QUOTE_CHARS


def test_words_before_a_long_one_are_kept():
    text = "See the lid," + "x" * 500
    quote = cite('p.1 "see the lid"', ((1, 0, len(text)),), text=text, starts=(0,))
    assert quote == "See the lid"


def test_a_text_without_pages_is_searched_around_its_context():
    filler = "Nothing. " * MAX_SEARCHED_CHARS
    text = filler + "Press the red button. " + filler
    context = ((1, len(filler) - 90, len(filler) + 90),)
    assert cite('p.1 "the red button"', context, text=text, starts=(0,)) == "the red button."
    assert cite("p.1", context, "a red button", text, (0,)) == "Press the red button."


@pytest.mark.parametrize(
    "unit", [".", "\n", "-", "a-", ". ", ".\n", '."', "é-", "\u00ad ", "aa ", "- \n"]
)
def test_hostile_pages_are_searched_in_time(unit):
    text = unit * 100_000
    for pointer in (Pointer(1, "aa"), Pointer(1, "a a a"), Pointer(1)):
        found = resolve(pointer, text, (0,), ((1, 0, len(text)),), "aa " * 100)
        assert isinstance(found, Dropped) or found.verified


def test_no_pointer_is_malformed():
    assert resolve(None, MANUAL, STARTS, ALL, "") == Dropped("malformed")


def test_no_manual_holds_no_quote():
    assert resolve(Pointer(1, "words"), "", (), (), "") == Dropped("page_not_in_context")
    assert resolve(Pointer(1), "", (0,), ((1, 0, 0),), "") == Dropped("page_not_in_context")


def test_a_citation_says_where_it_stands():
    found = resolve(Pointer(2, "up to date"), MANUAL, STARTS, ALL, "")
    start = MANUAL.index("up to date")
    assert found == Citation(2, "up to date.", start, start + 11, verified=True)
