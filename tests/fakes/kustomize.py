"""What `kubectl apply -k` would send: the part of kustomize that the manifests here use.

It knows `resources`, `components` that only add, `namespace`, `labels`, `images`, `replicas`,
`patches` (strategic merge by `name`, or JSON 6902) and `configMapGenerator`, and refuses every
other field, so that it never passes over something in silence. `scripts/check_manifests.py`
compares it with kubectl.
"""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

KNOWN = {
    "apiVersion", "kind", "resources", "components", "namespace", "labels", "images", "replicas",
    "patches", "configMapGenerator",
}  # fmt: skip
CLUSTER_WIDE = {"Namespace"}
# Lists whose elements strategic merge finds by a key; all others are replaced.
MERGE_KEYS = {
    "containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath",
    "ports": "containerPort",
}  # fmt: skip


def build(folder: Path) -> list[Resource]:
    """Return the resources of a kustomization, as they would be applied."""
    found, generated = _collect(folder)
    return _with_config_maps(found, generated)


def _collect(folder: Path) -> tuple[list[Resource], list[Resource]]:
    rules = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(rules) <= KNOWN, f"{folder}: {set(rules) - KNOWN} is not understood here"
    found: list[Resource] = []
    generated: list[Resource] = []
    for name in rules.get("resources", ()):
        path = (folder / name).resolve()
        if path.is_dir():
            more, maps = _collect(path)
            found += more
            generated += maps
        else:
            found += [one for one in yaml.safe_load_all(path.read_text()) if one]
    for name in rules.get("components", ()):
        more, maps = _collect((folder / name).resolve())
        found += more
        generated += maps
    _generate(folder, rules.get("configMapGenerator", ()), generated)
    _transform(folder, rules, found, generated)
    return found, generated


def _generate(folder: Path, entries: Any, generated: list[Resource]) -> None:
    for entry in entries:
        data = dict(pair.split("=", 1) for pair in entry.get("literals", ()))
        data |= {Path(name).name: (folder / name).read_text() for name in entry.get("files", ())}
        if entry.get("behavior") == "merge":
            [before] = [one for one in generated if one["metadata"]["name"] == entry["name"]]
            before["data"] |= data
            continue
        options = entry.get("options", {})
        metadata: Resource = {"name": entry["name"]}
        if "labels" in options:
            metadata["labels"] = dict(options["labels"])
        generated.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": data,
                "hashed": not options.get("disableNameSuffixHash", False),
            }
        )


def _transform(folder: Path, rules: Any, found: list[Resource], maps: list[Resource]) -> None:
    for entry in rules.get("patches", ()):
        text = entry["patch"] if "patch" in entry else (folder / entry["path"]).read_text()
        _patch(found, entry.get("target"), yaml.safe_load(text))
    for one in (*found, *maps):
        if "namespace" in rules and one["kind"] not in CLUSTER_WIDE:
            one["metadata"]["namespace"] = rules["namespace"]
        for entry in rules.get("labels", ()):
            assert set(entry) == {"pairs"}, "only labels of the resource itself"
            one["metadata"].setdefault("labels", {}).update(entry["pairs"])
    for entry in rules.get("replicas", ()):
        for one in found:
            if one["metadata"]["name"] == entry["name"] and "replicas" in one.get("spec", {}):
                one["spec"]["replicas"] = entry["count"]
    for entry in rules.get("images", ()):
        for container in _containers(found):
            if container["image"].partition(":")[0] == entry["name"]:
                container["image"] = f"{entry['newName']}:{entry['newTag']}"


def _patch(found: list[Resource], target: Resource | None, patch: Any) -> None:
    wanted = target or {"kind": patch["kind"], "name": patch["metadata"]["name"]}
    chosen = [
        one
        for one in found
        if one["kind"] == wanted["kind"]
        and wanted.get("name", one["metadata"]["name"]) == one["metadata"]["name"]
    ]
    assert chosen, f"nothing to patch: {wanted}"
    for one in chosen:
        if isinstance(patch, list):
            for operation in patch:
                _operate(one, operation)
        else:
            _merge(one, {key: value for key, value in patch.items() if key != "metadata"})


def _operate(resource: Any, operation: Resource) -> None:
    *path, last = operation["path"].strip("/").split("/")
    for step in path:
        resource = resource[int(step) if isinstance(resource, list) else step]
    assert last in resource, f"{operation['path']} is not there"
    if operation["op"] == "remove":
        del resource[last]
    else:
        assert operation["op"] == "replace"
        resource[last] = copy.deepcopy(operation["value"])


def _merge(into: Resource, patch: Resource) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, list) and key in MERGE_KEYS and key in into:
            _merge_list(into[key], value, MERGE_KEYS[key])
        else:
            into[key] = copy.deepcopy(value)


def _merge_list(into: list[Any], patch: list[Any], key: str) -> None:
    for element in reversed(patch):
        same = [one for one in into if one[key] == element[key]]
        if same:
            _merge(same[0], element)
        else:
            into.insert(0, copy.deepcopy(element))


def _with_config_maps(found: list[Resource], generated: list[Resource]) -> list[Resource]:
    names = {}
    for one in generated:
        plain = one["metadata"]["name"]
        if one.pop("hashed"):
            names[plain] = one["metadata"]["name"] = f"{plain}-{_hash(one['data'])}"
    for one in found:
        _rename(one, names)
    return [*found, *generated]


def _rename(value: Any, names: dict[str, str]) -> None:
    if isinstance(value, list):
        for one in value:
            _rename(one, names)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key in ("configMap", "configMapRef", "configMapKeyRef") and "name" in one:
                one["name"] = names.get(one["name"], one["name"])
            _rename(one, names)


def _hash(data: dict[str, str]) -> str:
    """Return kustomize's own suffix: of the content without the name, in letters it likes."""
    body = {"data": data, "kind": "ConfigMap", "name": ""}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(char, escaped)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))


def pod_of(resource: Resource) -> Resource | None:
    """Return the pod's spec of a workload, or None for what is none."""
    spec = resource.get("spec", {})
    if resource["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    pod = spec.get("template", {}).get("spec") if isinstance(spec, dict) else None
    return pod if isinstance(pod, dict) and "containers" in pod else None


def _containers(found: list[Resource]) -> list[Resource]:
    return [one for pod in filter(None, map(pod_of, found)) for one in pod["containers"]]
