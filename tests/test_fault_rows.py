"""The table of faults in docs/reliability.md and the tests with a number are the same set."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| F(\d+) \|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)
NUMBERED_TEST = re.compile(r"^\s*(?:async )?def test_((?:f\d+_)+)", re.MULTILINE)


def rows_of_suite():
    """Row number -> the files whose tests carry it."""
    rows = defaultdict(set)
    for file in sorted((ROOT / "tests").glob("**/test_*.py")):
        for numbers in NUMBERED_TEST.findall(file.read_text("utf-8")):
            for number in re.findall(r"f(\d+)_", numbers):
                rows[int(number)].add(f"../{file.relative_to(ROOT)}")
    return rows


def test_the_rows_of_the_page_are_those_of_the_suite():
    """Whoever adds a test of a new number adds its row."""
    listed = [int(number) for number, *_ in ROW.findall(covered())]
    assert listed == sorted(set(listed))
    assert set(listed) == set(rows_of_suite())


def test_each_row_says_what_happens_and_links_to_all_its_tests():
    tested = rows_of_suite()
    for number, done, expected, files in ROW.findall(covered()):
        assert done.strip(), number
        assert expected.strip(), number
        assert set(re.findall(r"\]\(([^)]+)\)", files)) == tested[int(number)], f"F{number}"


def test_every_row_that_a_document_names_is_in_the_table():
    listed = {int(number) for number, *_ in ROW.findall(covered())}
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        if page != PAGE:
            named = {int(n) for n in re.findall(r"\bF(\d+)\b", page.read_text("utf-8"))}
            if page.name != "retrieval.md":  # F1 is a measure there
                assert named <= listed, page.name
    gaps = re.findall(r"\bF(\d+)\b", PAGE.read_text("utf-8").partition("\n## Not covered")[2])
    assert {int(number) for number in gaps} <= listed


def covered():
    """The part of the page with the table; the gaps below it are listed by number too."""
    before, _, _ = PAGE.read_text("utf-8").partition("\n## Not covered")
    return before
