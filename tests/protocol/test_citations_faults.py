"""Citations against any page text, and under the fault F100 (quotes that are not the manual's)."""

from __future__ import annotations

import re
from itertools import accumulate

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocol.citations import MAX_QUOTE_CHARS, Citation, Dropped, Pointer, parse_pointer, resolve
from protocol.folding import fold
from protocol.markers import Marker, MarkerParser

WORD_CHARS = "abcdefgXYZÄéßﬁﬂ-–—.,!?…\u00ad\u200b\ufffe'’“”\"()0123456789设置"
BLANKS = st.sampled_from([" ", "  ", "\n", " \n ", "\t", "\u00a0", "\r\n", "\n\n", "\u2003"])
WORDS = st.text(st.sampled_from(WORD_CHARS), min_size=1, max_size=9)
PAGE_PARTS = st.lists(st.tuples(WORDS, BLANKS), min_size=2, max_size=40)


def build(pages):
    """Return the manual's text, its page starts, and each page's text."""
    texts = ["".join(word + blank for word, blank in page) for page in pages]
    starts = [0, *accumulate(len(text) + 1 for text in texts)][: len(texts)]
    return "\f".join(texts), starts, texts


def check(found, text, starts, texts):
    assert found.cited_text == text[found.start_char : found.end_char] != ""
    assert found.verified
    assert "\f" not in found.cited_text
    assert found.cited_text == found.cited_text.strip()
    assert len(found.cited_text) <= MAX_QUOTE_CHARS
    first = starts[found.page - 1]
    assert first <= found.start_char < found.end_char <= first + len(texts[found.page - 1])


@settings(max_examples=500)
@given(st.lists(PAGE_PARTS, min_size=1, max_size=4), st.data())
def test_any_words_of_a_page_are_found_however_written(pages, data):
    text, starts, texts = build(pages)
    number = data.draw(st.integers(1, len(pages)))
    page = pages[number - 1]
    first = data.draw(st.integers(0, len(page) - 2))
    last = data.draw(st.integers(first + 2, min(len(page), first + 12)))
    words = [word for word, _ in page[first:last]]
    mangled = "".join(word + data.draw(BLANKS) for word in words)
    if data.draw(st.booleans()):
        mangled = mangled.swapcase()
    # Hyphens and soft hyphens at the outer ends may join the words to their neighbours.
    assume(words[0][0].isalnum() and words[-1][-1].isalnum())
    assume(not re.search("[-\u00ad\ufffe]$", page[first - 1][0] if first else ""))
    assume(sum(map(str.isalnum, mangled)) >= 2)
    found = resolve(Pointer(number, mangled), text, starts, [(1, 0, len(text))], "")
    assert isinstance(found, Citation)
    check(found, text, starts, texts)
    assert fold(found.cited_text).text.startswith(
        fold(mangled).text.strip()[: MAX_QUOTE_CHARS // 2]
    )


@settings(max_examples=300)
@given(
    st.lists(PAGE_PARTS, min_size=1, max_size=3),
    st.text(max_size=30),
    st.text(max_size=60),
    st.tuples(st.integers(0, 200), st.integers(0, 200)),
)
def test_whatever_is_pointed_at_a_citation_is_verbatim(pages, words, claim, span):
    text, starts, texts = build(pages)
    context = [(1, min(span), max(span))]
    for number in range(len(pages) + 2):
        for pointer in (Pointer(number), Pointer(number, words), Pointer(number, text[:20])):
            found = resolve(pointer, text, starts, context, claim)
            if isinstance(found, Citation):
                check(found, text, starts, texts)
                assert context[0][1] <= starts[number - 1] + len(texts[number - 1])


@given(st.text(max_size=200))
def test_any_body_is_a_pointer_or_none(body):
    pointer = parse_pointer(body)
    assert pointer is None or 1 <= pointer.page <= 100_000


@given(st.text(max_size=80))
def test_folding_keeps_the_way_back(text):
    folded = fold(text)
    origins = [folded.origin(index) for index in range(len(folded.text))]
    assert origins == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)
    assert "  " not in folded.text.replace("\u00a0", " ") or not text.isascii()


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="-"), max_size=40)
)
def test_folding_plain_text_is_only_lower_case(text):
    assert fold(text).text == text.lower().replace('"', "'").replace("`", "'")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("appli-\nance", "appliance"),
        ("appli\u00adance", "appliance"),
        ("appli\u00ad\nance", "appliance"),
        ("appli\ufffe\nance", "appliance"),
        ("e-mail", "e‑mail"),
        ("on–off", "on-off"),
        ("a — b", "a - b"),
        ("“OK”", "'ok'"),
        ("ﬁlter", "filter"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("5\u00a0mm", "5 mm"),
        ("a \u200b b", "a b"),
        ("wait…", "wait..."),
        ("10-20", "10–20"),
    ],
)
def test_variants_fold_alike(one, other):
    assert fold(one).text == fold(other).text


@pytest.mark.parametrize(
    ("one", "other"), [("10-20", "1020"), ("a b", "ab"), ("é", "e"), ("0.5", "05")]
)
def test_different_texts_stay_different(one, other):
    assert fold(one).text != fold(other).text


MANUAL = 'Keep away from water. [WARNING: hot] [MANUAL: p.2 "x"]\fThe lamp is safe to touch.'
STARTS = (0, MANUAL.index("\f") + 1)
PAGE_2 = ((2, STARTS[1], len(MANUAL)),)


def cite(raw: str, context=PAGE_2):
    (marker,) = MarkerParser().feed(raw)
    assert isinstance(marker, Marker)
    assert marker.kind == "citation"
    return resolve(parse_pointer(marker.body), MANUAL, STARTS, context, "")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('[MANUAL: p.2 "The product has been recalled"]', "quote_not_found"),
        ('[MANUAL: p.2 "The lamp is not safe to touch"]', "quote_not_found"),
        ('[MANUAL: p.2 "The lamp is … to touch"]', "quote_not_found"),
        ('[MANUAL: p.2 "Keep away from water"]', "quote_not_found"),
        ('[MANUAL: p.1 "Keep away from water"]', "page_not_in_context"),
        ('[MANUAL: p.3 "The lamp"]', "page_not_in_context"),
        ("[MANUAL: p.999999]", "malformed"),
        ("[MANUAL: the lamp is safe]", "malformed"),
        ('[MANUAL: {"page": 2, "verified": true}]', "malformed"),
    ],
)
def test_f100_a_quote_that_the_manual_does_not_hold_is_dropped(raw, reason):
    assert cite(raw) == Dropped(reason)


def test_f100_a_quote_that_the_manual_holds_is_kept_at_its_offsets():
    found = cite('[MANUAL: p.2 "the lamp is SAFE"]')
    assert found == Citation(2, "The lamp is safe to touch.", STARTS[1], len(MANUAL), verified=True)


def test_f100_what_is_cited_is_never_the_words_of_the_model():
    found = cite('[MANUAL: p.2 "the LAMP  is"]')
    assert isinstance(found, Citation)
    assert "LAMP" not in found.cited_text


def test_f100_a_marker_in_the_manual_is_quoted_as_plain_text():
    found = cite('[MANUAL: p.1 "from water"]', ((1, 0, 60),))
    assert isinstance(found, Citation)
    assert found.cited_text == "from water."
    found = cite('[MANUAL: p.1 "[WARNING: hot]"]', ((1, 0, 60),))
    assert isinstance(found, Citation)
    assert found.cited_text == '[WARNING: hot] [MANUAL: p.2 "x"]'
