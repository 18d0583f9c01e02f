"""No address leaves that the operator did not allow, and chunks change nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.guard import OutputGuard

HOSTS = ("docs.example.com",)


def guard(chunks: list[str], hosts: tuple[str, ...] = HOSTS) -> str:
    own = OutputGuard(hosts)
    return "".join([own.feed(chunk) for chunk in chunks]) + own.flush()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Note: press EXIT.", "Note: press EXIT."),
        ("Ratio 4:3, 10:30, a/b, and/or, 1 // 2", "Ratio 4:3, 10:30, a/b, and/or, 1 // 2"),
        ("see https://docs.example.com/a?b", "see https://docs.example.com/a?b"),
        ("see https://DOCS.example.com", "see https://DOCS.example.com"),
        (
            "see https://docs.example.com.evil/a",
            "see https\uff1a\uff0f\uff0fdocs.example.com.evil/a",
        ),
        (
            "see https://docs.example.com@evil/a",
            "see https\uff1a\uff0f\uff0fdocs.example.com@evil/a",
        ),
        ("![x](https://evil/?q=1)", "![x](https\uff1a\uff0f\uff0fevil/?q=1)"),
        ("![x](//evil/?q=1)", "![x](\uff0f\uff0fevil/?q=1)"),
        ("[x]: //evil", "[x]: \uff0f\uff0fevil"),
        ("<img src='//evil'>", "<img src='\uff0f\uff0fevil'>"),
        ("[x](javascript:alert(1))", "[x](javascript\uff1aalert(1))"),
        ("[x](java\nscript:alert(1))", "[x](java\nscript\uff1aalert(1))"),
        ("[x](JaVaScRiPt:x)", "[x](JaVaScRiPt\uff1ax)"),
        ("data:text/html;base64,x", "data\uff1atext/html;base64,x"),
        ("Data: 24 bit", "Data: 24 bit"),
        (
            "ftp://evil wss://evil file:///etc",
            "ftp\uff1a\uff0f\uff0fevil wss\uff1a\uff0f\uff0fevil file\uff1a\uff0f\uff0f/etc",
        ),
        ("https:evil https:\\\\evil", "https\uff1aevil https\uff1a\\\\evil"),
        ("a\u200bb\U000e0041c", "abc"),
        ("ends with a colon:", "ends with a colon:"),
        ("ends with https://", "ends with https\uff1a\uff0f\uff0f"),
        ("[x](///evil)", "[x](\uff0f\uff0f/evil)"),
        ("[x](/\\evil)", "[x](\uff0f\uff3cevil)"),
        ("[x](\\\\evil)", "[x](\uff3c\uff3cevil)"),
        ("[x](javascript: alert(1))", "[x](javascript\uff1a alert(1))"),
        ("\\\\server\\share, C:\\Users", "\\\\server\\share, C:\\Users"),
    ],
)
def test_f101_addresses_become_text(text, expected):
    assert guard([text]) == expected
    assert guard(list(text)) == expected
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert guard([text[:first], text[first:second], text[second:]]) == expected


alphabet = st.sampled_from(
    [
        "h",
        "https",
        ":",
        "/",
        "//",
        "\\",
        "evil",
        ".",
        "docs.example.com",
        " ",
        "(",
        "data",
        "image/",
        "x",
        "javascript",
        "\u200b",
        "\n",
        '"',
        "@",
    ]
)


@given(st.lists(alphabet, max_size=30))
def test_f101_no_chunks_change_the_result(chunks):
    assert guard(chunks) == guard(["".join(chunks)])


@given(st.lists(alphabet, max_size=30))
def test_f101_no_foreign_address_is_left(chunks):
    out = guard(chunks)
    for found in re.finditer(r"[A-Za-z]://([^/\s(\"]*)", out):
        assert found[1].lower().startswith("docs.example.com")
    assert not re.search(r"javascript:|[(\"][/\\]{2}\S", out)


@pytest.mark.parametrize(
    "parts",
    [
        ("https:", "//evil"),
        ("https:", "evil"),
        ("https", ":", "//evil"),
        ("javascript:", "alert(1)"),
        ("java", "script:", "alert(1)"),
        ("data:", "text/html,x"),
        ("data:te", "xt/html,x"),
        ("data: ", "text/html,x"),
        ("data", ":", "text/html,x"),
        ("javascript:\n", "alert(1)"),
    ],
)
def test_f101_an_address_cannot_be_joined_across_an_item(parts):
    own = OutputGuard()
    text = "".join(own.feed(part) + own.flush() for part in parts)
    assert ":" not in text


@pytest.mark.parametrize(
    "parts", [("x:", "//", "evil"), ("x:/", "/evil"), ("(/", "/evil)"), ("(", "/", "\\evil)")]
)
def test_f101_slashes_cannot_be_joined_across_items(parts):
    own = OutputGuard()
    text = "".join(own.feed(part) + own.flush() for part in parts)
    assert not re.search(r"[/\\]{2}", text)


def test_text_before_an_item_keeps_its_colon():
    own = OutputGuard()
    assert own.feed("as follows:") + own.flush() == "as follows:"
    assert own.feed("The data: 24 bit") + own.flush() == "The data: 24 bit"


def test_nothing_is_held_that_cannot_become_an_address():
    own = OutputGuard(HOSTS)
    assert own.feed("Press the knob") == "Press the knob"
    assert own.feed(": then") == ": then"


def test_a_long_host_is_not_waited_for():
    own = OutputGuard(HOSTS)
    assert own.feed("https://" + "a" * 500)
