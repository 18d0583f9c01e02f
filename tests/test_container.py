"""The image and the composition: what can be held true of them without building anything."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import factory
from promtool import promtool

from server.config.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(:-[^}]*)?\}")


def instruction(name):
    """The last instruction of that name, continuation lines joined."""
    text = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.+)$", text, re.MULTILINE)[-1].strip()


def variables(service):
    found = service.get("environment", {})
    return {name: VARIABLE.sub(lambda m: (m[2] or ":-")[2:], str(v)) for name, v in found.items()}


def test_the_image_is_built_in_two_stages_from_one_pinned_base():
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2
    assert len(set(stages)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", stages[0])
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "pip" not in last, "what runs installs nothing"
    assert "--require-hashes" in DOCKERFILE


def test_the_process_is_the_first_one_and_hears_sigterm():
    """In the form of a list there is no shell between, which would swallow the signal."""
    assert json.loads(instruction("ENTRYPOINT")) == ["manicule"]
    assert json.loads(instruction("CMD")) == ["serve"]
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_the_user_is_a_number_and_owns_the_only_folder_that_is_written():
    user, _, group = instruction("USER").partition(":")
    assert int(user) == int(group) >= 10_000
    assert json.loads(instruction("VOLUME")) == ["/data"]
    assert f"useradd --uid {user}" in DOCKERFILE


def test_no_secret_is_in_the_image():
    secrets = {
        f"MANICULE_{name.upper()}"
        for name, field in Settings.__dataclass_fields__.items()
        if field.metadata["secret"]
    }
    assert not [name for name in secrets if name in DOCKERFILE]


@pytest.fixture
def server(tmp_path_factory):
    yield from factory(tmp_path_factory)


def test_the_health_check_tells_a_server_from_none(server):
    check = instruction("HEALTHCHECK")
    command = json.loads(check[check.index("CMD ") + 4 :])
    target = server()

    def run():
        run = [sys.executable, *command[1:]]
        env = {"MANICULE_PORT": str(target.port)}
        return subprocess.run(run, env=env, capture_output=True, timeout=30).returncode

    assert run() == 0
    target.kill()
    assert run() != 0


def test_one_command_starts_all_six():
    assert set(SERVICES) == {"server", "cache", "log", "store", "prometheus", "grafana"}
    waits = SERVICES["server"]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in ("cache", "log", "store")}
    for name in waits:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_confined_and_reached_from_this_machine_only(name):
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"])
    assert "no-new-privileges:true" in service["security_opt"]
    if name != "store":  # its image begins as root, to take over its folder
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name):
    declared = set(COMPOSE["volumes"])
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in declared


def test_every_variable_has_a_value_without_an_env_file():
    text = (ROOT / "compose.yaml").read_text()
    assert VARIABLE.findall(text)
    for name, default in VARIABLE.findall(text):
        assert default, name
        # An .env file here is read by `manicule serve` too, which refuses names it does not know.
        known = {f"MANICULE_{field.upper()}" for field in Settings.__dataclass_fields__}
        assert name in known or not name.startswith("MANICULE"), name


def test_the_server_knows_its_variables_and_the_addresses_are_services():
    said = variables(SERVICES["server"])
    assert set(said) <= {f"MANICULE_{name.upper()}" for name in Settings.__dataclass_fields__}
    for name, service in (("CACHE_URL", "cache"), ("LOG_URL", "log"), ("STORE", "store")):
        address = said[f"MANICULE_{name}"]
        user, _, host = address.rpartition("@")
        assert host.partition(":")[0] == service
        other = variables(SERVICES[service])
        assert user.rpartition(":")[2] in other.values(), "the password of both is the same"
    grace = SERVICES["server"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings().drain_s + 5


@pytest.mark.parametrize("name", ["cache", "log"])
def test_redis_runs_with_the_settings_and_users_that_are_tested(name):
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES[name]["volumes"])
    assert mounts["/etc/redis/redis.conf"] == f"./kubernetes/redis/{name}.conf"
    assert mounts["/etc/redis/users.acl"] == f"./kubernetes/redis/{name}-users.acl"
    words = shlex.split(SERVICES[name]["command"][2].replace("$$", "$"))
    assert words[-2:] == ["redis-server", "/etc/redis/redis.conf"]
    assert ("/data" in mounts) == (name == "log"), "only the log outlives its container"


def test_prometheus_reads_its_settings_and_finds_the_server(tmp_path):
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["prometheus"]["volumes"][:2])
    for target, source in mounts.items():
        (tmp_path / Path(target).name).write_text((ROOT / source).read_text())
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")
    [job] = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == "manicule"
    [target] = job["static_configs"][0]["targets"]
    assert target.partition(":")[0] in SERVICES


def test_grafana_finds_prometheus_and_the_dashboards():
    folder = ROOT / "compose" / "grafana"
    [source] = yaml.safe_load((folder / "datasources.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((folder / "dashboards.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"])
    shown = ROOT / mounts[provider["options"]["path"]]
    home = Path(variables(SERVICES["grafana"])["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (shown / home.name).exists()
