"""One table of metrics and the one object that moves them."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.telemetry.metrics import METRICS, PREFIX, Metrics


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (one.name, *sorted(one.labels.values())): one.value for f in families for one in f.samples
    }


def test_names_are_unique_and_say_their_unit():
    names = [row.name for row in METRICS]
    assert len(set(names)) == len(names)
    for row in METRICS:
        assert re.fullmatch(r"[a-z][a-z_]*", row.name)
        assert (row.kind == "counter") == row.name.endswith("_total")
        assert row.kind != "histogram" or row.name.endswith("_seconds")
        assert row.help.endswith(".")
        assert list(row.buckets) == sorted(row.buckets)


def test_each_kind_moves_in_its_own_way():
    metrics = Metrics()
    metrics.count("searches_total")
    metrics.count("searches_total", by=2)
    metrics.count("errors_total", "overloaded")
    metrics.set("answers_running", 3)
    metrics.add("answers_running", -1)
    metrics.set("dependency_up", 1, "cache")
    metrics.observe("search_seconds", 0.002)
    seen = samples(metrics)
    assert seen[f"{PREFIX}searches_total",] == 3
    assert seen[f"{PREFIX}errors_total", "overloaded"] == 1
    assert seen[f"{PREFIX}answers_running",] == 2
    assert seen[f"{PREFIX}dependency_up", "cache"] == 1
    assert seen[f"{PREFIX}search_seconds_count",] == 1
    assert seen[f"{PREFIX}search_seconds_bucket", "0.0025"] == 1


def test_what_is_not_in_the_table_is_an_error():
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("nope_total")
    with pytest.raises(ValueError, match="label"):
        metrics.count("errors_total", "a", "b")
    with pytest.raises(AssertionError):
        metrics.count("connections")


def test_the_names_are_those_of_the_table():
    assert list(Metrics().names()) == [row.name for row in METRICS]


def test_every_row_and_the_process_are_rendered():
    text = Metrics().render().decode()
    for row in METRICS:
        assert f"# HELP {PREFIX}{row.name} {row.help}" in text
    assert "process_resident_memory_bytes" in text
    assert "python_info" in text


def test_several_processes_are_summed(tmp_path):
    """With the folder that Prometheus' client shares, `/metrics` speaks for all workers."""
    import os
    import subprocess
    import sys

    program = (
        "from server.telemetry.metrics import Metrics\n"
        "m = Metrics(); m.count('searches_total', by=2); m.set('connections', 3)\n"
        "print(m.render().decode())"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        run = [sys.executable, "-c", program]
        said = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout
    assert f"{PREFIX}searches_total 4.0" in said
