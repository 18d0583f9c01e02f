"""The dashboards are what the script makes of the metrics table, and their queries are valid."""

import json
import re
from pathlib import Path

import build_monitoring
import dashboards
import pytest
import yaml
from promtool import promtool

from server.telemetry.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[2]

FOLDER = ROOT / "kubernetes" / "monitoring"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))


def queries(file):
    panels = json.loads(file.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_files_are_what_the_script_makes():
    """After a change of a table: make monitoring."""
    made = build_monitoring.files()
    for path, text in made.items():
        assert path.read_text() == text, f"{path.name} is old: make monitoring"
    assert {path for path in made if path.suffix == ".json"} == set(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_names_metrics_that_exist(file):
    known = {f"{PREFIX}{row.name}" for row in METRICS}
    known |= {f"{PREFIX}{row.name}_bucket" for row in METRICS if row.kind == "histogram"}
    for expr in queries(file):
        named = set(re.findall(rf"\b{PREFIX}\w+", expr))
        assert named
        assert named <= known


def test_every_metric_is_shown():
    shown = " ".join(queries(FOLDER / "dashboards" / "manicule-everything.json"))
    for row in METRICS:
        assert re.search(rf"\b{PREFIX}{row.name}(_bucket)?\{{", shown), row.name


def test_every_query_can_be_asked(tmp_path):
    exprs = [expr for file in FILES for expr in queries(file)]
    rules = [
        {"record": f"q{at}", "expr": expr.replace("$__rate_interval", "5m")}
        for at, expr in enumerate(exprs)
    ]
    document = {"groups": [{"name": "queries", "rules": rules}]}
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(document))
    assert f"{len(exprs)} rules found" in promtool("check", "rules", tmp_path / "queries.yaml")


def test_panels_lie_side_by_side_and_never_on_each_other():
    for file in FILES:
        page = json.loads(file.read_text())
        assert page["uid"] == file.stem
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in page["panels"]]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in page["panels"]}) == len(places)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: dashboards.rate("no_such_total"),
        lambda: dashboards.rate("queries_total", "model"),
        lambda: dashboards.rate("queries_total", match='model="m"'),
        lambda: dashboards.quantile(0.5, "queries_total"),
    ],
)
def test_a_panel_cannot_name_what_does_not_exist(wrong):
    with pytest.raises(KeyError):
        wrong()


def test_the_rules_of_the_operator_are_the_alerts():
    resource = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())
    assert resource["spec"] == yaml.safe_load((FOLDER / "alerts.yaml").read_text())
