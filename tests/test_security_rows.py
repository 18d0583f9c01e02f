"""The checklist in docs/security.md and the suite are held together: rows, links, numbers."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROW = re.compile(r"^\| S(\d+) \| (.*) \| (.*) \|$", re.MULTILINE)
LINK = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[^)]+)\)")
ROWS = {int(number): (control, tests) for number, control, tests in ROW.findall(PAGE)}
NUMBERED = re.compile(r"^\s*(?:async )?def (test_s(\d+)_\w+)", re.MULTILINE)


def test_all_rows_are_there_once_and_in_order():
    assert [int(number) for number, *_ in ROW.findall(PAGE)] == list(range(1, 53))


@pytest.mark.parametrize("number", ROWS)
def test_a_row_says_what_is_done_and_names_tests_that_exist(number):
    control, tests = ROWS[number]
    assert control.endswith("."), control
    links = LINK.findall(tests)
    assert links or "Not yet" in control, f"S{number} has neither a test nor says that it has none"
    assert len(links) == tests.count("](")
    for name, file in links:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text("utf-8")), f"{name} in {file}"


def test_every_numbered_test_of_the_suite_is_linked_in_its_row():
    suite = defaultdict(set)
    for file in (ROOT / "tests").glob("**/test_*.py"):
        for name, number in NUMBERED.findall(file.read_text("utf-8")):
            suite[int(number)].add((name, file.relative_to(ROOT).as_posix()))
    missing = {
        number: sorted(found - set(LINK.findall(ROWS[number][1])))
        for number, found in sorted(suite.items())
        if found - set(LINK.findall(ROWS[number][1]))
    }
    assert missing == {}
