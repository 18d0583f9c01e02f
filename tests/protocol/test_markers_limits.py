"""What the marker parser holds back, and how it stands hostile text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked import Parts, joined, parse, source

from protocol.markers import (
    KEYWORDS,
    MAX_BODY_CHARS,
    MAX_MARKER_CHARS,
    Marker,
    MarkerParser,
    Text,
)

FULL, OVER = "x" * MAX_BODY_CHARS, "x" * (MAX_BODY_CHARS + 1)


PIECES = st.one_of(
    st.sampled_from(
        [
            *(f"[{word.upper()}:" for word in KEYWORDS),
            *"[]:\n _-",
            *["[PRO", " TIP", "_TIP:", "[edit:]", "[MANUAL: p.1]", "[CITATION: p.1]"],
            *("x" * 298, " " * 597, "\r\n", "\u2028"),
        ]
    ),
    st.text(st.sampled_from("[]: \na" + string.ascii_uppercase), max_size=8),
    st.text(max_size=3),
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


COMPLETIONS = (
    *(word[size:] + ": x]" for word in KEYWORDS for size in range(len(word) + 1)),
    *(": x]", "x", "x]", "x\n", ""),
)


@settings(max_examples=400)
@given(TEXTS)
def test_only_what_may_become_a_marker_is_held_back(text):
    parser = MarkerParser()
    given_out = source(parser.feed(text))
    held = text[len(given_out) :]
    assert len(held) <= MAX_MARKER_CHARS
    depth = held.count("[") - held.count("]")
    endings = (*COMPLETIONS, "]" * depth)
    assert not held or any(
        isinstance(part := parse(held + ending)[0], Marker) and len(part.raw) >= len(held)
        for ending in endings
    )


@pytest.mark.parametrize(
    ("fed", "given_out"),
    [
        ("Hello [", "Hello "),
        ("Hello [P", "Hello "),
        ("Hello [PRO-", "Hello "),
        ("[12", "[12"),
        ("[12]", "[12]"),
        ("[PRO  ", "[PRO  "),
        ("[[", "["),
        ("[PRO [", "[PRO "),
        ("[EDIT: a [b", ""),
        (f"[EDIT: {FULL} ", ""),
        (f"[EDIT: {OVER}", f"[EDIT: {OVER}"),
        (f"[EDIT: {OVER} [W", f"[EDIT: {OVER} "),
        # Inner brackets must close too, so there is no room for this one.
        (f"[EDIT:[{FULL[:-1]}", f"[EDIT:[{FULL[:-1]}"),
        (f"[EDIT:[{FULL[:-2]}", ""),
    ],
)
def test_text_is_given_out_as_soon_as_it_is_certain(fed, given_out):
    assert source(MarkerParser().feed(fed)) == given_out
    parser = MarkerParser()
    assert "".join(source(parser.feed(char)) for char in fed) == given_out


def test_a_marker_is_given_out_with_its_last_character():
    parser = MarkerParser()
    assert parser.feed("[EDIT: a") == []
    assert parser.feed("]b") == [Marker("edit", "a", "[EDIT: a]"), Text("b")]


def test_a_line_is_given_out_at_its_end():
    parser = MarkerParser()
    assert parser.feed("[EDIT:] a") == []
    assert parser.feed(" b") == []
    assert parser.feed("\n") == [Marker("edit", "a b", "[EDIT:] a b"), Text("\n")]


def test_the_parser_can_be_used_again_after_close():
    parser = MarkerParser()
    assert parser.feed("[EDIT: a") == []
    assert parser.close() == [Text("[EDIT: a")]
    assert parser.close() == []
    assert parser.feed("b]") == [Text("b]")]


def test_empty_chunks_change_nothing():
    assert parse("", "[ED", "", "", "IT: a]", "") == [Marker("edit", "a", "[EDIT: a]")]


HOSTILE = {
    "openings": "[" * 60_000,
    "closings": "]" * 60_000,
    "headers": "[WARNING: " * 10_000,
    "shortest headers": "[EDIT:" * 10_000,
    "shortest headers with a word": "[EDIT:x" * 10_000,
    "blank bodies": "[EDIT:]" * 10_000,
    "blank lines": "[EDIT:] \n" * 10_000,
    "header, then openings": "[EDIT:" + "[" * 60_000,
    "header, then blanks": ("[EDIT:" + " " * 1_300) * 50,
    "nested": "[EDIT:" * 10_000 + "]" * 10_000,
    "half keywords": "[PRO_TI" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_held_back_within_the_bound(name):
    text = HOSTILE[name]
    whole = parse(text)
    assert source(whole) == text
    parser = MarkerParser()
    given_out = 0
    parts: Parts = []
    for fed, char in enumerate(text, 1):
        new = parser.feed(char)
        parts += new
        given_out += len(source(new))
        assert fed - given_out <= MAX_MARKER_CHARS
    assert joined(parts + parser.close()) == whole
