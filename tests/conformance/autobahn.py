"""Run Autobahn's fuzzing client against our WebSocket stack: `make conformance`.

The suite needs Python 2.7, which is looked for on the PATH and below ~/.pyenv, or is named by
`PYTHON2`. It is installed once, from pinned versions, into the folder given. Ends with 0 when every
case passes but the deviations listed here, and exactly those.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
GROUPS = ("1", "2", "3", "4", "5", "6", "7", "9", "10", "12", "13")
# 12 and 13 test permessage-deflate, which the server does not offer (docs/security.md).
UNIMPLEMENTED = ("12", "13")
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
# A close frame inside a fragmented message is answered by websockets with 1002 "incomplete
# fragmented message" where the suite wants 1000.
KNOWN = {"7.1.5": "FAILED"}
LIMIT_S = 1800

ENTRY = """
import site, sys
site.addsitedir({folder!r})
sys.argv = ["wstest"] + sys.argv[1:]
from autobahntestsuite.wstest import run
run()
"""


def find_python2() -> str | None:
    """Path of a Python 2.7, or None."""
    named = [os.environ.get("PYTHON2"), shutil.which("python2.7")]
    found = sorted(Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7"), reverse=True)
    for path in [*filter(None, named), *map(str, found)]:
        probe = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
        # A shim of a version manager is on the PATH and fails when no such version is chosen.
        if subprocess.run([path, "-c", probe], check=False, capture_output=True).returncode == 0:
            return path
    return None


def install(python2: str, folder: Path) -> None:
    """Install the suite into `folder` unless it is there."""
    done = folder / ".installed"
    pins = HERE / "requirements-python2.txt"
    if done.exists() and done.read_text() == pins.read_text():
        return
    shutil.rmtree(folder, ignore_errors=True)
    command = [python2, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--target", str(folder), "-r", str(pins)], check=True)
    done.write_text(pins.read_text())


def run_suite(python2: str, folder: Path, port: int, cases: list[str]) -> dict[str, str]:
    """Run the cases; the behaviour that the suite reports for each."""
    with tempfile.TemporaryDirectory() as out:
        spec = Path(out) / "spec.json"
        reports = Path(out) / "reports"
        server = {"agent": "manicule", "url": f"ws://127.0.0.1:{port}"}
        spec.write_text(json.dumps({"outdir": str(reports), "servers": [server], "cases": cases}))
        entry = ENTRY.format(folder=str(folder))
        command = [python2, "-c", entry, "-m", "fuzzingclient", "-s", str(spec)]
        subprocess.run(command, check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
        index = json.loads((reports / "index.json").read_text())["manicule"]
    return {
        name: "FAILED"
        if "FAILED" in (case["behavior"], case["behaviorClose"])
        else case["behavior"]
        for name, case in index.items()
    }


def expected(case: str) -> tuple[str, ...]:
    """What the case may come to."""
    if case in KNOWN:
        return (KNOWN[case],)
    return ("UNIMPLEMENTED",) if case.split(".")[0] in UNIMPLEMENTED else GOOD


def main() -> int:
    """Install, serve, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".venv/autobahn"))
    parser.add_argument("--cases", nargs="*", default=[f"{group}.*" for group in GROUPS])
    options = parser.parse_args()
    python2 = find_python2()
    if python2 is None:
        print("Autobahn's suite needs Python 2.7: put python2.7 on the PATH or set PYTHON2.")
        return 2
    install(python2, options.folder.resolve())
    server = subprocess.Popen(
        [sys.executable, str(HERE / "echo_server.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline())
        behaviours = run_suite(python2, options.folder.resolve(), port, options.cases)
    finally:
        server.terminate()
        server.wait()
    for behaviour, number in sorted(Counter(behaviours.values()).items()):
        print(f"{number:4d} {behaviour}")
    wrong = {case: b for case, b in behaviours.items() if b not in expected(case)}
    for case, behaviour in wrong.items():
        print(f"case {case} is {behaviour}, expected {' or '.join(expected(case))}")
    return 1 if wrong or not behaviours else 0


if __name__ == "__main__":
    sys.exit(main())
