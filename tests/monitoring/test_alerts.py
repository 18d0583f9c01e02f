"""The alerts: each fires in its case and no other does, looks at metrics that exist, has a page."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from promtool import promtool

from protocol.citations import DropReason
from server.feedback.drainer import DrainerEvent
from server.feedback.outcomes import WriterEvent
from server.sampling import OUTCOMES
from server.telemetry.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[2]

FOLDER = ROOT / "kubernetes" / "monitoring"
GROUPS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
CASES = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
TABLE = {row.name: row for row in METRICS}
SELECTOR = re.compile(rf"\b{PREFIX}(\w+)(?:\{{([^}}]*)\}})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
OF_THE_TARGET = {"job", "instance"}
VALUES = {
    ("feedback_events_total", "event"): {
        *get_args(WriterEvent),
        *get_args(DrainerEvent),
        "journal_gap",
    },
    ("queries_total", "outcome"): set(OUTCOMES),
    ("citations_total", "verdict"): {"verified", *get_args(DropReason)},
    ("query_duration_seconds", "le"): {
        f"{float(edge)}" for edge in TABLE["query_duration_seconds"].buckets
    },
}


def name_of(rule):
    return rule.get("alert") or rule["record"]


def test_promtool_finds_the_rules_in_order():
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FOLDER / "alerts.yaml")


def test_in_every_case_exactly_its_alerts_fire():
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "alerts.test.yaml")


def test_every_alert_has_a_case_in_which_it_fires():
    fired = {
        name
        for case in CASES
        for test in case["promql_expr_test"]
        for sample in test["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == {rule["alert"] for rule in ALERTS}
    assert CASES[0]["promql_expr_test"][0]["exp_samples"] == [], "and one in which all is well"


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_looks_at_metrics_labels_and_values_that_exist(rule):
    recorded = {other["record"] for other in RULES if "record" in other}
    assert set(re.findall(r"\bmanicule:[\w:]+", rule["expr"])) <= recorded
    for name, matchers in SELECTOR.findall(rule["expr"]):
        row = TABLE.get(name) or TABLE.get(re.sub(r"_(bucket|count|sum)$", "", name))
        assert row is not None, name
        for label, _, value in MATCHER.findall(matchers):
            assert label in {*row.labels, *OF_THE_TARGET, "le"}, f"{name}: {label}"
            known = VALUES.get((row.name, label))
            assert known is None or set(value.split("|")) <= known, f"{name}: {value}"


@pytest.mark.parametrize("rule", ALERTS, ids=name_of)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^### (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings


def test_the_runbook_has_no_page_for_an_alert_that_is_gone():
    text = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    assert re.findall(r"^### (Manicule\w+)$", text, re.MULTILINE) == [
        rule["alert"] for rule in ALERTS
    ]
    for part in text.split("\n### ")[1:]:
        for word in ("**Meaning.**", "**Look.**", "**Do.**"):
            assert word in part, part.splitlines()[0]
