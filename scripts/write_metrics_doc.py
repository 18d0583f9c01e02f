"""Write docs/metrics.md and the dashboards from the table of metrics; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from server.telemetry.metrics import METRICS, PREFIX

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
HEAD = """# Metrics

`GET /metrics` gives these in the Prometheus text format, beside the usual `process_*` and
`python_*` ones of the client library (memory is `process_resident_memory_bytes`). Every label has
a closed set of values: no product, user or question is ever a label. With several workers the
numbers are those of all of them, without `process_*` and `python_*`.

| metric | type | labels | what it says |
|---|---|---|---|
"""


def page() -> str:
    """Return the page as the table says it."""
    rows = [
        f"| `{PREFIX}{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} "
        f"| {row.help} |\n"
        for row in METRICS
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    import build_monitoring

    build_monitoring.main()
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/metrics.md differs from the table: run scripts/write_metrics_doc.py")
