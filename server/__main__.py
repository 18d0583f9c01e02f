"""`python -m server`, and the console script `manicule`."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line. A terminal that cannot show a character shows another instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from server.cli.app import app

    app(prog_name="manicule")


if __name__ == "__main__":
    main()
