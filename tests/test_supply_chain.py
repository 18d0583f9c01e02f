"""What is installed and run is what was looked at: floors, hashes, no dangerous command."""

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKS = ("requirements.lock", "requirements-dev.lock")

FLOORS = {
    # Range requests that cost quadratic time (CVE-2025-62727), and a Host that mounts believe
    # (CVE-2026-48710).
    "starlette": (1, 3, 1),
    # The WebSocket implementation without legacy code, whose close handshake is bounded.
    "uvicorn": (0, 54),
    "websockets": (15,),
    # Streams that decompress without end (CVE-2025-55197 and those after it).
    "pypdf": (7,),
    "cryptography": (45,),
    # Request smuggling by chunk extensions (CVE-2025-43859).
    "h11": (0, 16),
}


def numbers(text):
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


@pytest.mark.parametrize("name", FLOORS)
def test_s15_no_version_with_a_known_hole_is_installed_locked_or_allowed(name):
    floor = FLOORS[name]
    assert numbers(version(name)) >= floor
    for lock in LOCKS:
        found = re.findall(rf"^{name}==(\S+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
        assert found, f"{name} is not in {lock}"
        assert all(numbers(one) >= floor for one in found)
    for line in PROJECT["dependencies"]:
        if found := re.fullmatch(rf"{name}(\[\w+\])?>=(\S+)", line):
            assert numbers(found[2]) >= floor, line


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-bench.lock"])
def test_s47_every_locked_package_has_its_hash(lock):
    text = (ROOT / lock).read_text("utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


def test_s47_the_image_takes_nothing_without_its_hash():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert "--require-hashes" in text
    for source in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+", source), source


def strings():
    """Every text in the code of the server, by file."""
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


DANGEROUS = {
    "KEYS",
    "FLUSHDB",
    "FLUSHALL",
    "EVAL",
    "EVALSHA",
    "SCRIPT",
    "DEBUG",
    "SHUTDOWN",
    "SAVE",
}


def test_s27_no_command_that_stops_or_empties_redis_is_in_code_or_documents():
    named = {(path.name, text) for path, text in strings() if text in DANGEROUS}
    assert named == set()
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "kubernetes").rglob("*.md")]:
        text = page.read_text("utf-8")
        assert not re.search(r"redis-cli[^\n]*\b(KEYS|FLUSHDB|FLUSHALL|EVAL)\b", text), page.name


def test_s28_no_sql_is_put_together_from_what_was_sent():
    """Statements are texts of the code; values go beside them. The linter's S608 holds this too."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in rules["select"]
    assert "S608" not in rules["ignore"]


def test_s43_no_secret_is_an_option_of_a_command():
    """Other users of a machine can see a program's options."""
    import dataclasses

    from server.config.document import OPTIONS
    from server.config.settings import Settings

    secret = {row.name for row in dataclasses.fields(Settings) if row.metadata["secret"]}
    # Addresses without a password in them may be given so; with one the help says not to.
    assert secret & set(OPTIONS) == {"store", "cache_url", "log_url"}
