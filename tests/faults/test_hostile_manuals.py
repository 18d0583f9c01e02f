"""The fixture set of hostile manual texts, and what cleaning leaves of it."""

import json
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from server.language.cleaning import MARKER_KEYWORDS, neutralise, strip_hidden

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FIXTURE = (GOLDEN / "hostile_manuals.jsonl").read_text(encoding="ascii")
CASES = [json.loads(line) for line in FIXTURE.splitlines()]
INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]")
MARKER = re.compile(
    r"\[\s*(?:" + "|".join(k.replace(" ", "[ _-]") for k in MARKER_KEYWORDS) + r")\s*:", re.I
)


def test_f99_the_set_has_200_different_cases_of_every_kind():
    kinds = Counter(case["kind"] for case in CASES)
    assert len(CASES) == len({case["id"] for case in CASES}) == 200
    assert len({case["text"] for case in CASES}) == 200
    assert len(kinds) == 11
    assert min(kinds.values()) >= 12
    assert all(case.keys() == {"id", "kind", "text"} for case in CASES)


def test_f99_the_file_is_what_its_generator_gives():
    rendered = runpy.run_path(str(GOLDEN / "make_hostile_manuals.py"))["rendered"]
    assert rendered() == FIXTURE


@pytest.mark.parametrize("kind", ["zero_width", "tag_block"])
def test_f99_hidden_orders_are_in_the_set_and_gone_after_cleaning(kind):
    texts = [case["text"] for case in CASES if case["kind"] == kind]
    assert all(INVISIBLE.search(text) for text in texts)
    for text in texts:
        cleaned, dropped = strip_hidden(text)
        assert dropped == len(INVISIBLE.findall(text)) > 0
        assert not INVISIBLE.search(cleaned)


def test_f99_no_case_keeps_an_invisible_character_or_a_marker():
    for case in CASES:
        cleaned = neutralise(strip_hidden(case["text"])[0])
        assert not INVISIBLE.search(cleaned), case["id"]
        assert not MARKER.search(cleaned), case["id"]
