"""The manifests say what the server has: its doors, its user, its drain."""

from pathlib import Path

import yaml

from server.config.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOYMENT = yaml.safe_load((ROOT / "kubernetes" / "base" / "deployment.yaml").read_text())
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


def test_every_resource_is_there():
    listed = yaml.safe_load((ROOT / "kubernetes" / "base" / "kustomization.yaml").read_text())
    for name in listed["resources"]:
        found = yaml.safe_load((ROOT / "kubernetes" / "base" / name).read_text())
        assert found["metadata"]["name"] == "manicule"


def test_the_pod_has_no_more_rights_than_it_needs():
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["runAsNonRoot"] is True
    own = CONTAINER["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"]["drop"] == ["ALL"]


def test_the_user_is_the_one_of_the_image():
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = POD["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in dockerfile


def test_the_grace_period_holds_the_drain():
    pre_stop_s = 3
    assert POD["terminationGracePeriodSeconds"] > Settings().drain_s + pre_stop_s + 5


def test_variables_are_settings():
    names = {f"MANICULE_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert {row["name"] for row in CONTAINER["env"]} <= names


def test_the_probes_ask_doors_that_exist():
    from server.endpoints.routes import build_routes

    source = build_routes.__code__.co_consts
    for probe in ("readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"]["path"] in source
