"""The options of a benchmark: `--help` from its own text, and `--quick` for small sizes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


class Arguments(argparse.ArgumentParser):
    """A parser whose options have a full and a quick default.

    arguments = Arguments("markers", __doc__)
    arguments.size("--rounds", 31, 3, "answers per row")
    options = arguments.parse_args()   # options.rounds, options.quick
    """

    def __init__(self, name: str, text: str | None) -> None:
        super().__init__(
            prog=f"python -m benchmarks.{name}",
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._quick: dict[str, Any] = {}
        self.add_argument(
            "--quick", action="store_true", help="small sizes: to see that it works, not to quote"
        )

    def size(self, flag: str, full: Any, quick: Any, text: str) -> None:
        """Add an option; a list as default takes several values."""
        several = isinstance(full, list)
        kind = type(full[0] if several else full)
        shown = f"{text} ({self._words(full)}; quick {self._words(quick)})"
        count = "+" if several else None
        action = self.add_argument(flag, type=kind, default=full, help=shown, nargs=count)
        self._quick[action.dest] = quick

    @staticmethod
    def _words(value: Any) -> str:
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, with the quick sizes as defaults where `--quick` was given."""
        given = sys.argv[1:] if args is None else args
        if "--quick" in given:
            self.set_defaults(**self._quick)
        return super().parse_args(args, namespace)
