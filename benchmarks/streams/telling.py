"""What is told while streams are measured: by manicule of its loop, by us of how far we are."""

from __future__ import annotations

import re
import sys
import urllib.request


class Stalls:
    """The worst lateness of manicule's own loop, a window at a time, from /metrics."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._before: dict[float, float] = {}
        self.worst_ms: dict[int, float] = {}

    def look(self, streams: int) -> None:
        """Note the upper bound of the worst lateness since the last look.

        A server too busy to tell is asked again at the next step.
        """
        try:
            with urllib.request.urlopen(self._url, timeout=5) as reply:
                text = reply.read().decode()
        except OSError:
            return
        found = re.findall(r'event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', text)
        now = {float(bound): float(count) for bound, count in found}
        grown = {bound: count - self._before.get(bound, 0) for bound, count in now.items()}
        total = max(grown.values(), default=0)
        bound = min((bound for bound, count in grown.items() if count >= total), default=0.0)
        self._before = now
        self.worst_ms[streams] = max(bound * 1000, self.worst_ms.get(streams, 0))


def tell(line: str) -> None:
    """Show how far we are, beside the table."""
    print(line, file=sys.stderr, flush=True)
