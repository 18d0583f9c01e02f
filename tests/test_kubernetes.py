"""The manifests are valid, say what the server has, and fit each other."""

import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml
from kustomize import build, pod_of
from promtool import promtool

from server.cli.app import app
from server.config.settings import Settings
from server.telemetry.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "kubernetes"
NAMES = ("base", "overlays/dev", "overlays/production", "overlays/canary", "jobs")
BUILDS = {name: build(FOLDER / name) for name in NAMES}
# The oldest that is still maintained, and the newest whose schemas are installed.
VERSIONS = ("1.34", kubernetes_validate.latest_version())
# Of operators; Kubernetes' own schemas do not know them.
CUSTOM = {
    "monitoring.coreos.com/v1": {"ServiceMonitor", "PrometheusRule"},
    "argoproj.io/v1alpha1": {"Rollout", "AnalysisTemplate"},
    "postgresql.cnpg.io/v1": {"Cluster", "ScheduledBackup"},
}
EVERY = pytest.mark.parametrize("name", NAMES)
DEPLOYED = pytest.mark.parametrize("name", NAMES[:-1])
SERVER = {"app.kubernetes.io/name": "manicule", "app.kubernetes.io/component": "server"}


def one(name, kind, called="manicule"):
    [found] = [r for r in BUILDS[name] if r["kind"] == kind and r["metadata"]["name"] == called]
    return found


def pods(name):
    """(resource, its pod's labels, its pod) of every workload."""
    for resource in BUILDS[name]:
        pod = pod_of(resource)
        if pod is not None:
            spec = resource["spec"]
            spec = spec["jobTemplate"]["spec"] if resource["kind"] == "CronJob" else spec
            yield resource, spec["template"]["metadata"]["labels"], pod


def walk(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@EVERY
def test_every_resource_is_valid(name):
    for resource in BUILDS[name]:
        if resource["kind"] in CUSTOM.get(resource["apiVersion"], ()):
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)


@EVERY
def test_no_resource_is_there_twice(name):
    keys = [(r["kind"], r["metadata"]["name"]) for r in BUILDS[name]]
    assert len(set(keys)) == len(keys)


@EVERY
def test_s46_a_pod_has_no_more_rights_than_it_needs(name):
    assert list(pods(name))
    for _, _, pod in pods(name):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert "memory" in container["resources"]["requests"]


@EVERY
def test_images_are_pinned_and_the_user_is_the_one_of_the_image(name):
    dockerfile = (ROOT / "Dockerfile").read_text()
    for _, _, pod in pods(name):
        for container in pod["containers"]:
            image, _, tag = container["image"].rpartition(":")
            assert re.match(r"\d+\.\d+", tag), container["image"]
            if image.endswith("manicule"):
                user = pod["securityContext"]["runAsUser"]
                assert f"USER {user}:{user}" in dockerfile


@EVERY
def test_everything_that_is_named_is_there_or_a_documented_secret(name):
    page = (FOLDER / "README.md").read_text()
    there = {(r["kind"], r["metadata"]["name"]) for r in BUILDS[name]}
    for resource in BUILDS[name]:
        for part in walk(resource):
            for key, kind in (("configMap", "ConfigMap"), ("configMapRef", "ConfigMap")):
                if key in part:
                    assert (kind, part[key]["name"]) in there
            if "persistentVolumeClaim" in part:
                claim = part["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in there
            if "serviceAccountName" in part:
                assert ("ServiceAccount", part["serviceAccountName"]) in there
            for key in ("secretRef", "secretKeyRef"):
                if key in part:
                    assert f"`{part[key]['name']}`" in page
            if "service" in part and "port" in part["service"]:
                assert ("Service", part["service"]["name"]) in there


@EVERY
def test_mounts_and_ports_are_declared(name):
    for resource, _, pod in pods(name):
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        volumes |= {
            claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", ())
        }
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", ())} == volumes
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(probe, {}):
                    assert container[probe]["httpGet"]["port"] in ports


@EVERY
def test_variables_are_settings(name):
    known = {f"MANICULE_{field.upper()}" for field in Settings.__dataclass_fields__}
    for resource in BUILDS[name]:
        if resource["kind"] == "ConfigMap" and "settings" in resource["metadata"]["name"]:
            assert set(resource["data"]) <= known
    for _, _, pod in pods(name):
        for container in pod["containers"]:
            named = {row["name"] for row in container.get("env", ())}
            assert {each for each in named if each.startswith("MANICULE")} <= known


@EVERY
def test_every_command_can_be_said(name):
    root = typer.main.get_command(app)
    for _, _, pod in pods(name):
        for container in pod["containers"]:
            if not container["image"].rpartition(":")[0].endswith("manicule"):
                continue
            words = container["args"]
            if container.get("command") == ["sh", "-c"]:
                words = shlex.split(words[0])[2:]
            command = root.commands[words[0]]
            command.make_context(words[0], words[1:])


@DEPLOYED
def test_a_service_and_a_budget_choose_the_servers_and_no_job(name):
    chosen = [one(name, "Service")["spec"]["selector"]]
    if name in ("overlays/production", "overlays/canary"):
        budget = one(name, "PodDisruptionBudget")
        chosen.append(budget["spec"]["selector"]["matchLabels"])
    for selector in chosen:
        found = [r["metadata"]["name"] for r, labels, _ in pods(name) if selector == labels]
        assert found == ["manicule"]
        assert selector == SERVER


@DEPLOYED
def test_the_grace_period_holds_wait_drain_and_end(name):
    pod = pod_of(one(name, "Deployment"))
    said = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    wait_s = float(re.search(r"sleep\((\d+)\)", said)[1])
    assert pod["terminationGracePeriodSeconds"] > wait_s + Settings().drain_s + 5


@DEPLOYED
def test_nobody_is_missed_during_a_rollout(name):
    strategy = one(name, "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@DEPLOYED
def test_the_probes_ask_doors_that_exist(name):
    from server.app import build_routes

    doors = build_routes.__code__.co_consts
    [container] = pod_of(one(name, "Deployment"))["containers"]
    asked = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked["readinessProbe"] == "/ready"
    assert asked["livenessProbe"] == "/health", "a dependency that is away is no reason to restart"
    assert set(asked.values()) <= set(doors)


@DEPLOYED
def test_s46_servers_reach_their_services_and_public_https_only(name):
    policy = one(name, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 5432, 6379, 443}
    [wide] = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"}
    assert private <= set(wide["except"])
    for _, labels, _ in pods(name):
        assert labels["app.kubernetes.io/name"] in ("manicule", "manicule-redis"), "has a policy"


@pytest.mark.parametrize("name", ["overlays/production", "overlays/canary"])
def test_the_autoscaler_alone_says_how_many(name):
    assert "replicas" not in one(name, "Deployment")["spec"]
    scaler = one(name, "HorizontalPodAutoscaler")["spec"]
    assert scaler["minReplicas"] >= 3
    [asked] = [m["pods"]["metric"]["name"] for m in scaler["metrics"] if m["type"] == "Pods"]
    assert asked.removeprefix(PREFIX) in {row.name for row in METRICS if row.kind == "gauge"}
    adapter = yaml.safe_load((FOLDER / "monitoring" / "adapter-rules.yaml").read_text())
    assert [rule["name"]["as"] for rule in adapter["rules"]["custom"]] == [asked]
    assert {m["resource"]["name"] for m in scaler["metrics"] if m["type"] == "Resource"} == {"cpu"}
    target = {"overlays/production": "Deployment", "overlays/canary": "Rollout"}[name]
    assert scaler["scaleTargetRef"]["kind"] == target
    assert one(name, target)


def test_the_rollout_looks_between_all_of_its_steps():
    canary = one("overlays/canary", "Rollout")["spec"]["strategy"]["canary"]
    weights = [step["setWeight"] for step in canary["steps"] if "setWeight" in step]
    assert weights == [5, 25, 75, 100]
    kinds = [next(iter(step)) for step in canary["steps"]]
    assert kinds == ["setWeight", "analysis"] * 3 + ["setWeight"]
    for step in canary["steps"]:
        for used in step.get("analysis", {}).get("templates", ()):
            assert one("overlays/canary", "AnalysisTemplate", used["templateName"])
    for service in ("stableService", "canaryService"):
        assert one("overlays/canary", "Service", canary[service])
    [ingress] = [step for step in [canary["trafficRouting"]["nginx"]["stableIngress"]] if step]
    assert one("overlays/canary", "Ingress", ingress)


def test_the_analysis_asks_for_metrics_that_exist_in_queries_that_are_valid(tmp_path):
    template = one("overlays/canary", "AnalysisTemplate", "manicule-objectives")["spec"]
    monitor = one("overlays/canary", "ServiceMonitor")["spec"]
    known = {f"{PREFIX}{row.name}" for row in METRICS}
    known |= {f"{PREFIX}{row.name}_bucket" for row in METRICS if row.kind == "histogram"}
    rules = []
    for metric in template["metrics"]:
        query = metric["provider"]["prometheus"]["query"]
        assert set(re.findall(rf"\b{PREFIX}\w+", query)) <= known
        assert query.count("rollouts_pod_template_hash") == len(re.findall(PREFIX, query))
        assert "result" in metric["successCondition"]
        rules.append({"record": metric["name"].replace("-", "_"), "expr": query})
    assert monitor["podTargetLabels"] == ["rollouts-pod-template-hash"]
    document = {"groups": [{"name": "analysis", "rules": rules}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document))
    promtool("check", "rules", tmp_path / "rules.yaml")


@pytest.mark.parametrize("name", ["overlays/production", "overlays/canary"])
def test_prometheus_finds_each_server_once(name):
    monitor = one(name, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [
        r["metadata"]["name"]
        for r in BUILDS[name]
        if r["kind"] == "Service" and wanted <= r["metadata"].get("labels", {}).items()
    ]
    assert services == ["manicule"]
    assert monitor["jobLabel"] == "app.kubernetes.io/name", "the alerts say job=manicule"
    assert one(name, "Service")["metadata"]["labels"][monitor["jobLabel"]] == "manicule"


def test_the_operator_gets_every_alert_and_grafana_every_dashboard():
    rule = one("overlays/production", "PrometheusRule")
    alerts = yaml.safe_load((FOLDER / "monitoring" / "alerts.yaml").read_text())
    assert rule["spec"] == alerts
    files = {path.name for path in (FOLDER / "monitoring" / "dashboards").iterdir()}
    assert set(one("overlays/production", "ConfigMap", "manicule-dashboards")["data"]) == files


@pytest.mark.parametrize("name", ["overlays/dev", "overlays/production", "overlays/canary"])
@pytest.mark.parametrize("server", ["cache", "log"])
def test_redis_has_room_beyond_what_it_may_fill(name, server):
    """The log's copy while it rewrites its file, connections, fragments."""
    [container] = pod_of(one(name, "StatefulSet", f"manicule-{server}"))["containers"]
    limit = container["resources"]["limits"]["memory"]
    limit_mb = int(limit[:-2]) * {"Mi": 1, "Gi": 1024}[limit[-2:]]
    conf = (FOLDER / "redis" / f"{server}.conf").read_text()
    filled_mb = int(re.search(r"^maxmemory (\d+)mb$", conf, re.MULTILINE)[1])
    assert filled_mb * 1.3 <= limit_mb


def test_what_is_durable_is_copied():
    cluster = one("overlays/production", "Cluster", "manicule-db")["spec"]
    assert cluster["instances"] >= 3
    assert cluster["postgresql"]["synchronous"]["number"] >= 1
    assert cluster["backup"]["barmanObjectStore"]["destinationPath"].startswith("s3://")
    backup = one("overlays/production", "ScheduledBackup", "manicule-db")["spec"]
    assert backup["cluster"]["name"] == "manicule-db"
    claims = one("overlays/production", "StatefulSet", "manicule-log")["spec"]
    assert [claim["metadata"]["name"] for claim in claims["volumeClaimTemplates"]] == ["data"]
