"""`manicule`, whose time of day is as far off as a file says: `clocked_server.py FILE serve ...`.

The file holds seconds and may be written anew at any time, as if somebody set the clock. Clocks
that go on evenly (`time.monotonic`) are not touched, as in reality.
"""

import sys
import time
from pathlib import Path


def put_off(file: Path) -> None:
    """Make `time.time` differ by what `file` says."""
    true_time = time.time

    def told_time() -> float:
        return true_time() + float(file.read_text() or 0)

    time.time = told_time


if __name__ == "__main__":
    put_off(Path(sys.argv.pop(1)))
    from server.__main__ import main

    main()
