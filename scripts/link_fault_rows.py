"""Write the links of the tables of faults and of security: each row to the tests of its number.

A number of the suite that has no row is named; its row is for a person to write.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^(\| F(\d+) \|.*\|.*\|)(.*)\|$", re.MULTILINE)
NUMBERED_TEST = re.compile(r"^\s*(?:async )?def test_((?:f\d+_)+)", re.MULTILINE)


def files_by_row() -> dict[int, set[str]]:
    rows: dict[int, set[str]] = defaultdict(set)
    for file in sorted((ROOT / "tests").glob("**/test_*.py")):
        for numbers in NUMBERED_TEST.findall(file.read_text("utf-8")):
            for number in re.findall(r"f(\d+)_", numbers):
                rows[int(number)].add(str(file.relative_to(ROOT)))
    return rows


SECURITY = ROOT / "docs" / "security.md"
SECURITY_ROW = re.compile(r"^(\| S(\d+) \| .* \| )(.*) \|$", re.MULTILINE)
SECURITY_TEST = re.compile(r"^\s*(?:async )?def (test_s(\d+)_\w+)", re.MULTILINE)


def link_security_rows() -> None:
    """Add to each row the tests of its number; those with other names stay as they are linked."""
    tests: dict[int, list[str]] = defaultdict(list)
    for file in sorted((ROOT / "tests").glob("**/test_*.py")):
        for name, number in SECURITY_TEST.findall(file.read_text("utf-8")):
            tests[int(number)].append(f"[`{name}`](../{file.relative_to(ROOT)})")

    def relinked(match: re.Match[str]) -> str:
        held = [one for one in match[3].split(", ") if one.strip()]
        return match[1] + ", ".join(dict.fromkeys(held + tests[int(match[2])])) + " |"

    SECURITY.write_text(SECURITY_ROW.sub(relinked, SECURITY.read_text("utf-8")), "utf-8")


def link(path: str) -> str:
    return f"[{Path(path).stem.removeprefix('test_')}](../{path})"


def main() -> int:
    link_security_rows()
    rows = files_by_row()
    text, gap, rest = PAGE.read_text("utf-8").partition("\n## Not covered")
    listed = {int(found[1]) for found in ROW.findall(text)}

    def relinked(match: re.Match[str]) -> str:
        linked = ", ".join(link(path) for path in sorted(rows[int(match[2])]))
        return f"{match[1]} {linked} |"

    PAGE.write_text(ROW.sub(relinked, text) + gap + rest, "utf-8")
    missing = sorted(set(rows) - listed)
    for number in missing:
        files = ", ".join(link(path) for path in sorted(rows[number]))
        print(f"no row for F{number}: | F{number} | ... | ... | {files} |")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
