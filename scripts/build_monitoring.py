"""Write what is made from tables: Grafana's dashboards, and the rules for the operator.

`--check` only compares. Dashboards come from scripts/dashboards.py, the rules from
kubernetes/monitoring/alerts.yaml.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from dashboards import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parents[1] / "kubernetes" / "monitoring"
COLUMNS = 24
WIDTH, HEIGHT = 12, 8
SCHEMA_VERSION = 39
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def graph(panel: Panel, number: int) -> dict[str, Any]:
    """Return one panel as Grafana reads it."""
    colours = ("red", "green") if panel.bad_below else ("green", "red")
    steps: list[dict[str, Any]] = [{"color": colours[0], "value": None}]
    if panel.threshold is not None:
        steps.append({"color": colours[1], "value": panel.threshold})
    shown = "line" if panel.threshold is not None else "off"
    per_row = COLUMNS // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.explanation,
        "datasource": DATASOURCE,
        "gridPos": {
            "h": HEIGHT,
            "w": WIDTH,
            "x": number % per_row * WIDTH,
            "y": number // per_row * HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {"fillOpacity": 8, "thresholdsStyle": {"mode": shown}},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(panel.queries)
        ],
    }


def page(dashboard: Dashboard) -> str:
    """Return one dashboard as the text of its file."""
    variables = [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Node",
            "type": "query",
            "datasource": DATASOURCE,
            "query": "label_values(manicule_build_info, instance)",
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]
    document = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["manicule"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": [graph(panel, number) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def operator_rule() -> str:
    """Return alerts.yaml as the resource that the Prometheus operator reads."""
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "manicule"},
        "spec": rules,
    }
    head = "# Made from alerts.yaml by scripts/build_monitoring.py.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, width=96)


def files() -> dict[Path, str]:
    """Return every file that is made, and its text."""
    made = {FOLDER / "dashboards" / f"{one.uid}.json": page(one) for one in DASHBOARDS}
    return made | {FOLDER / "prometheus-rule.yaml": operator_rule()}


def main() -> None:
    for path, text in files().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.name} differs from its source: run scripts/build_monitoring.py")


if __name__ == "__main__":
    main()
