"""A real Prometheus scrapes a real server under load, with the alerts as they are shipped."""

import asyncio
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from ports import hold_port
from processes import factory
from promtool import program
from wire import open_client

FOLDER = Path(__file__).parents[2] / "kubernetes" / "monitoring"
CLIENTS, QUESTIONS = 20, 5
BOUND_S = 60.0


def settings(folder, target):
    """The shipped rules, evaluated each second and waiting for nothing: a test has no minutes."""
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
    scrape = {"job_name": "manicule", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    document = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))


class Prometheus:
    """What its API says."""

    def __init__(self, http):
        self._http = http

    def get(self, path, **query):
        reply = self._http.get(f"/api/v1/{path}", params=query)
        reply.raise_for_status()
        return reply.json()["data"]

    def value(self, query):
        """The value of a query that gives one, or None."""
        found = self.get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self):
        return {
            alert["labels"]["alertname"]
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def rules(self):
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def until(self, check, what):
        deadline = time.monotonic() + BOUND_S
        while True:
            try:
                if check():
                    return
            except (httpx.TransportError, httpx.HTTPStatusError):
                pass  # it answers 503 until it has read its files
            assert time.monotonic() < deadline, what
            time.sleep(0.2)


@contextmanager
def prometheus(folder, target):
    settings(folder, target)
    port = hold_port()
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=10) as http:
            yield Prometheus(http)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def server(tmp_path_factory):
    yield from factory(tmp_path_factory)


async def ask_much(url, outcome):
    """Questions of many clients at once; each answer must end as `outcome`."""

    async def one(number):
        async with open_client(url) as client:
            for turn in range(QUESTIONS):
                name = f"{number}-{turn}"
                await client.ask(f"How do I change the battery? {name}", event_id=name)
                assert (await client.final(name))["status"] == outcome

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))


def test_prometheus_sees_the_load_and_every_alert_can_be_evaluated(server, tmp_path):
    well = server([{"text": "Open the lid. "}, {"text": "Done."}])
    with prometheus(tmp_path, well.port) as seen:
        seen.until(lambda: seen.value('up{job="manicule"}') == 1, "a first scrape")
        asyncio.run(ask_much(well.url, "completed"))
        asked = 'sum(manicule_queries_total{outcome="completed"})'
        seen.until(lambda: seen.value(asked) == CLIENTS * QUESTIONS, "every question counted")
        seen.until(lambda: seen.value("manicule_answers_running") == 0, "every answer ended")
        seen.until(
            lambda: all(rule["lastEvaluation"] > "0002" for rule in seen.rules()),
            "every rule evaluated",
        )
        for rule in seen.rules():
            assert rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}"
        recorded = "manicule:query_duration_seconds:p95_5m < 15"
        seen.until(lambda: seen.value(recorded) is not None, "what the rules record")
        ill = {"ManiculeErrorRateHigh", "ManiculeErrorsBurnFast", "ManiculeErrorsBurnSlowly"}
        gone = {"ManiculeDown", "ManiculeGone"}
        assert not seen.firing() & (ill | gone | {"ManiculeFeedbackRefused", "ManiculeDeadLetters"})
        well.kill()
        seen.until(lambda: gone <= seen.firing(), "the alerts of a death")


def test_alerts_fire_when_every_answer_fails(server, tmp_path):
    ill = server([{"error": "server"}])
    with prometheus(tmp_path, ill.port) as seen:
        failed = 'sum(manicule_queries_total{outcome="failed"})'
        seen.until(lambda: seen.value(failed) == 0, "a scrape before the first failure")
        asyncio.run(ask_much(ill.url, "failed"))
        wanted = {"ManiculeErrorRateHigh", "ManiculeErrorsBurnFast"}
        seen.until(lambda: wanted <= seen.firing(), "the alerts of failures")
        [alert, *_] = [
            alert
            for alert in seen.get("alerts")["alerts"]
            if alert["labels"]["alertname"] == "ManiculeErrorRateHigh"
        ]
        assert alert["annotations"]["summary"] == "100% of answers fail; the goal is under 0.1 %."
