"""The marker parser against a reference that reads the grammar off the whole text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked import Parts, cut, parse, source

from protocol.markers import (
    KEYWORDS,
    MAX_BODY_CHARS,
    MAX_MARKER_CHARS,
    Marker,
    Text,
)


def parse_whole(text: str) -> Parts:
    """The definition: at each '[' try a marker, else the '[' is text."""
    parts: Parts = []
    plain = ""
    at = 0
    while at < len(text):
        marker = match_marker(text, at) if text[at] == "[" else None
        if marker is None:
            plain += text[at]
            at += 1
            continue
        if plain:
            parts.append(Text(plain))
            plain = ""
        parts.append(marker)
        at += len(marker.raw)
    if plain:
        parts.append(Text(plain))
    return parts


def match_marker(text: str, at: int) -> Marker | None:
    head, colon, _ = text[at + 1 : at + 20].partition(":")
    if not colon or not head.isascii():
        return None
    kind = KEYWORDS.get(head.lower().replace("_", " ").replace("-", " "))
    if kind is None:
        return None
    body_at = at + 1 + len(head) + 1
    depth = 1
    for end in range(body_at, len(text)):
        depth += {"[": 1, "]": -1}.get(text[end], 0)
        if depth == 0:
            break
    else:
        return None
    stop = end + 1
    body = text[body_at:end].strip()
    if not body:
        newline = text.find("\n", stop)
        line_end = newline if newline >= 0 else len(text)
        body = text[stop:line_end].strip()
        stop = line_end
    if not body or len(body) > MAX_BODY_CHARS or stop - at > MAX_MARKER_CHARS:
        return None
    return Marker(kind, body, text[at:stop])


CASES: dict[str, tuple[str, Parts]] = {
    "empty": ("", []),
    "plain": ("Press the button.", [Text("Press the button.")]),
    "citation": (
        'Hold it. [MANUAL: p.12 "Hold the button"] Then',
        [
            Text("Hold it. "),
            Marker("citation", 'p.12 "Hold the button"', '[MANUAL: p.12 "Hold the button"]'),
            Text(" Then"),
        ],
    ),
    "suggestion": ("[SUGGESTION: x]", [Marker("suggestion", "x", "[SUGGESTION: x]")]),
    "pro tip": ("[PRO TIP: x]", [Marker("pro_tip", "x", "[PRO TIP: x]")]),
    "warning": ("[WARNING: x]", [Marker("warning", "x", "[WARNING: x]")]),
    "follow up": ("[FOLLOW UP: x?]", [Marker("follow_up", "x?", "[FOLLOW UP: x?]")]),
    "edit": ("[EDIT: x]", [Marker("edit", "x", "[EDIT: x]")]),
    "any case": ("[wArNiNg: x]", [Marker("warning", "x", "[wArNiNg: x]")]),
    "underscore": ("[PRO_TIP: x]", [Marker("pro_tip", "x", "[PRO_TIP: x]")]),
    "hyphen": ("[follow-up: x]", [Marker("follow_up", "x", "[follow-up: x]")]),
    "no blank after the colon": ("[EDIT:x]", [Marker("edit", "x", "[EDIT:x]")]),
    "colon in the body": ("[EDIT:: a:b]", [Marker("edit", ": a:b", "[EDIT:: a:b]")]),
    "line breaks": (
        "[EDIT:\n a\n\nb \n]c",
        [Marker("edit", "a\n\nb", "[EDIT:\n a\n\nb \n]"), Text("c")],
    ),
    "balanced": ("[EDIT: a [b [c]] d]", [Marker("edit", "a [b [c]] d", "[EDIT: a [b [c]] d]")]),
    "bracket first": ("[EDIT:[x]]", [Marker("edit", "[x]", "[EDIT:[x]]")]),
    "only brackets": ("[EDIT:[]]", [Marker("edit", "[]", "[EDIT:[]]")]),
    "a marker inside a body is body": (
        "[EDIT: a [WARNING: b] c]",
        [Marker("edit", "a [WARNING: b] c", "[EDIT: a [WARNING: b] c]")],
    ),
    "neighbours": (
        "[EDIT: a][WARNING: b]",
        [Marker("edit", "a", "[EDIT: a]"), Marker("warning", "b", "[WARNING: b]")],
    ),
    "closing bracket too many": ("[EDIT: a]]", [Marker("edit", "a", "[EDIT: a]"), Text("]")]),
    "rest of the line": (
        "[PRO TIP:] Use  it. \nMore",
        [Marker("pro_tip", "Use  it.", "[PRO TIP:] Use  it. "), Text("\nMore")],
    ),
    "rest of the line at the end": (
        "[PRO TIP: ] Use",
        [Marker("pro_tip", "Use", "[PRO TIP: ] Use")],
    ),
    "rest of the line with CRLF": (
        "[EDIT:] a\r\nb",
        [Marker("edit", "a", "[EDIT:] a\r"), Text("\nb")],
    ),
    "rest of the line holds brackets": (
        "[EDIT:] a ] [WARNING: b\nc]",
        [Marker("edit", "a ] [WARNING: b", "[EDIT:] a ] [WARNING: b"), Text("\nc]")],
    ),
    "blank body over lines": (
        "[EDIT:\n\n]a\nb",
        [Marker("edit", "a", "[EDIT:\n\n]a"), Text("\nb")],
    ),
    "blank body and blank line": ("[EDIT:] \nb", [Text("[EDIT:] \nb")]),
    "blank body at the end": ("[EDIT:]", [Text("[EDIT:]")]),
    "unknown keyword": ("[CITATION: p.1]", [Text("[CITATION: p.1]")]),
    "footnote": ("See [12] and [a].", [Text("See [12] and [a].")]),
    "link": ("[EDIT](http://x.example)", [Text("[EDIT](http://x.example)")]),
    "no colon": ("[EDIT x]", [Text("[EDIT x]")]),
    "blank before the colon": ("[EDIT : x]", [Text("[EDIT : x]")]),
    "blank after the bracket": ("[ EDIT: x]", [Text("[ EDIT: x]")]),
    "two blanks between the words": ("[PRO  TIP: x]", [Text("[PRO  TIP: x]")]),
    "no blank between the words": ("[PROTIP: x]", [Text("[PROTIP: x]")]),
    "tab between the words": ("[PRO\tTIP: x]", [Text("[PRO\tTIP: x]")]),
    "keyword too long": ("[SUGGESTIONS: x]", [Text("[SUGGESTIONS: x]")]),
    "keyword too short": ("[PRO: x]", [Text("[PRO: x]")]),
    "no keyword": ("[: x]", [Text("[: x]")]),
    "letters that fold to ASCII": (
        "[ſUGGESTION: x] [EDİT: x]",
        [Text("[ſUGGESTION: x] [EDİT: x]")],
    ),
    "full-width": ("[ＥＤＩＴ: x]", [Text("[ＥＤＩＴ: x]")]),
    "unclosed": ("a [WARNING: b", [Text("a [WARNING: b")]),
    "unclosed inside": ("a [WARNING: b [c]", [Text("a [WARNING: b [c]")]),
    "unclosed, then a marker": (
        "[WARNING: a [EDIT: b]",
        [Text("[WARNING: a "), Marker("edit", "b", "[EDIT: b]")],
    ),
    "bracket before a marker": (
        "[[EDIT: b]]",
        [Text("["), Marker("edit", "b", "[EDIT: b]"), Text("]")],
    ),
    "keyword begun before a marker": (
        "[PRO [PRO TIP: b]",
        [Text("[PRO "), Marker("pro_tip", "b", "[PRO TIP: b]")],
    ),
    "only brackets, many": ("[[[]]][[", [Text("[[[]]][[")]),
    "astral": ("[EDIT: 🔧🔩]🔧", [Marker("edit", "🔧🔩", "[EDIT: 🔧🔩]"), Text("🔧")]),
    "NUL": ("[EDIT: \0]\0", [Marker("edit", "\0", "[EDIT: \0]"), Text("\0")]),
}

FULL, OVER = "x" * MAX_BODY_CHARS, "x" * (MAX_BODY_CHARS + 1)
WIDE = MAX_MARKER_CHARS - len("[EDIT:x]")  # blanks that make the longest whole marker
LONG_CASES: dict[str, tuple[str, Parts]] = {
    "longest body": (f"[EDIT: {FULL} ]", [Marker("edit", FULL, f"[EDIT: {FULL} ]")]),
    "body too long": (f"[EDIT: {OVER}]", [Text(f"[EDIT: {OVER}]")]),
    "longest body on the line": (f"[EDIT:] {FULL} ", [Marker("edit", FULL, f"[EDIT:] {FULL} ")]),
    "line too long": (f"[EDIT:] {OVER}\n", [Text(f"[EDIT:] {OVER}\n")]),
    "widest marker": (
        "[EDIT:" + " " * WIDE + "x]",
        [Marker("edit", "x", "[EDIT:" + " " * WIDE + "x]")],
    ),
    "marker too wide": (
        "[EDIT:" + " " * (WIDE + 1) + "x]",
        [Text("[EDIT:" + " " * (WIDE + 1) + "x]")],
    ),
    "widest line": (
        "[EDIT:]" + " " * WIDE + "x\n",
        [Marker("edit", "x", "[EDIT:]" + " " * WIDE + "x"), Text("\n")],
    ),
    "line too wide": (
        "[EDIT:]" + " " * (WIDE + 1) + "x\n",
        [Text("[EDIT:]" + " " * (WIDE + 1) + "x\n")],
    ),
    "trailing blanks too wide": ("[EDIT:] x" + " " * WIDE, [Text("[EDIT:] x" + " " * WIDE)]),
    "deepest body": (
        "[EDIT:" + "[" * 300 + "]" * 300 + "]",
        [Marker("edit", "[" * 300 + "]" * 300, "[EDIT:" + "[" * 300 + "]" * 300 + "]")],
    ),
    "too long, then a marker inside": (
        f"[EDIT: {FULL}[WARNING: y]]",
        [Text(f"[EDIT: {FULL}"), Marker("warning", "y", "[WARNING: y]"), Text("]")],
    ),
}
ALL_CASES = CASES | LONG_CASES
AFTERS = ("", " z", "]", "[", "\n", "\n[EDIT: after]", "[EDIT: after]")


@pytest.mark.parametrize("name", ALL_CASES)
def test_whole_and_one_character_at_a_time(name):
    text, expected = ALL_CASES[name]
    assert parse(text) == expected
    assert parse(*text) == expected
    assert parse_whole(text) == expected
    assert source(expected) == text


@pytest.mark.parametrize("name", CASES)
def test_every_pair_of_cuts(name):
    text, expected = CASES[name]
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert parse(*cut(text, [first, second])) == expected


@pytest.mark.parametrize("name", LONG_CASES)
def test_every_cut_of_long_markers(name):
    text, expected = LONG_CASES[name]
    for place in range(len(text) + 1):
        assert parse(*cut(text, [place])) == expected


@pytest.mark.parametrize("after", AFTERS)
@pytest.mark.parametrize("name", ALL_CASES)
def test_with_something_after_it(name, after):
    text = ALL_CASES[name][0] + after
    expected = parse_whole(text)
    assert parse(text) == expected
    assert parse(*text) == expected
    assert parse(*cut(text, [len(text) - len(after)])) == expected
    assert source(expected) == text


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


@settings(max_examples=600)
@given(TEXTS, st.data())
def test_any_text_in_any_chunks_equals_the_reference(text, data):
    expected = parse_whole(text)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    assert parse(text) == expected
    assert parse(*cut(text, places)) == expected
    assert parse(*text) == expected
    assert source(expected) == text


@pytest.mark.parametrize(
    "unit", ["[WARNING: ", "[EDIT:", "[EDIT:x", "[EDIT:] \n", "[PRO_TI", "[EDIT:[]"]
)
def test_hostile_text_equals_the_reference(unit):
    text = unit * (3_000 // len(unit)) + "]" * 300
    assert parse(text) == parse(*text) == parse_whole(text)
