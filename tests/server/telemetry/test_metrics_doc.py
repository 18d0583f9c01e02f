"""docs/metrics.md says what the table says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_the_table():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write_metrics_doc.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
