"""Compare what the tests think the manifests are with what kubectl makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fakes"))
import kustomize  # noqa: E402 - it lives with the tests

FOLDERS = ("base", "overlays/dev", "overlays/production", "overlays/canary", "jobs")


def by_identity(resources):
    return {(one["kind"], one["metadata"]["name"]): one for one in resources}


def differences(folder):
    """Yield a line for each resource that the two make differently."""
    path = ROOT / "kubernetes" / folder
    said = subprocess.run(
        ["kubectl", "kustomize", str(path)], capture_output=True, text=True, check=False
    )
    if said.returncode:
        yield f"{folder}: {said.stderr.strip()}"
        return
    theirs, ours = by_identity(yaml.safe_load_all(said.stdout)), by_identity(kustomize.build(path))
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            yield f"{folder}: {' '.join(key)} differs"
            yield from (f"  {side.get(key)}" for side in (theirs, ours))


def main():
    if shutil.which("kubectl") is None:
        sys.exit("kubectl is needed to compare with: https://kubernetes.io/docs/tasks/tools/")
    found = [line for folder in FOLDERS for line in differences(folder)]
    if found:
        sys.exit("\n".join(found))
    print(f"kubectl makes the same of {', '.join(FOLDERS)}")


if __name__ == "__main__":
    main()
