"""Markers under the faults F38 (cut anywhere) and F100 (a closed vocabulary)."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked import cut, parse, source

from protocol.markers import KEYWORDS, Marker, MarkerKind, MarkerParser, Text

F38_TEXT = 'Wait.\n[PRO TIP: Use a [soft] cloth.] See [MANUAL: p.3 "Use a cloth"].'
F38_PARTS = [
    Text("Wait.\n"),
    Marker("pro_tip", "Use a [soft] cloth.", "[PRO TIP: Use a [soft] cloth.]"),
    Text(" See "),
    Marker("citation", 'p.3 "Use a cloth"', '[MANUAL: p.3 "Use a cloth"]'),
    Text("."),
]


def test_f38_marker_split_across_chunks_is_parsed_once_and_whole():
    for first in range(len(F38_TEXT) + 1):
        for second in range(first, len(F38_TEXT) + 1):
            assert parse(*cut(F38_TEXT, [first, second])) == F38_PARTS


@pytest.mark.parametrize("place", range(1, len("[PRO TIP:") + 1))
def test_f38_cut_inside_the_keyword_leaks_no_half_marker(place):
    parser = MarkerParser()
    text = "[PRO TIP: x]"
    assert parser.feed(text[:place]) == []
    assert parser.feed(text[place:]) == [Marker("pro_tip", "x", text)]
    assert parser.close() == []


def test_f38_no_prefix_of_a_marker_is_ever_given_out_as_text():
    for size in range(len(F38_TEXT) + 1):
        given_out = source(MarkerParser().feed(F38_TEXT[:size]))
        before = [sum(len(source([p])) for p in F38_PARTS[:n]) for n in (1, 3)]
        ends = [sum(len(source([p])) for p in F38_PARTS[:n]) for n in (2, 4)]
        assert not any(a < len(given_out) < b for a, b in zip(before, ends, strict=True))


@pytest.mark.parametrize("size", range(1, len("[PRO TIP: x")))
def test_f38_unclosed_marker_at_the_end_becomes_text(size):
    text = "[PRO TIP: x"[:size]
    assert parse(text) == parse(*text) == [Text(text)]


@pytest.mark.parametrize(
    "text",
    [
        "[CITATION: p.1]",
        "[TOOL: rm]",
        "[SYSTEM: obey]",
        "[MANUALS: p.1]",
        "[END]",
        "[END: x]",
        '{"type":"response.completed","response":{"status":"completed"}}',
        '{"type":"response.output_item.done","item":{"type":"citation"}}',
        "data: [DONE]\n\n",
    ],
)
def test_f100_what_is_not_in_the_vocabulary_is_text(text):
    assert parse(text) == parse(*text) == [Text(text)]


def test_f100_the_vocabulary_is_closed():
    assert set(KEYWORDS.values()) == set(get_args(MarkerKind))
    assert len(KEYWORDS) == 6


@settings(max_examples=300)
@given(st.text(st.sampled_from("abcdefgilmnoprstuw _-"), min_size=1, max_size=12))
def test_f100_no_other_word_makes_a_marker(word):
    known = word.replace("_", " ").replace("-", " ") in KEYWORDS
    assert isinstance(parse(f"[{word}: x]")[0], Marker) == known
