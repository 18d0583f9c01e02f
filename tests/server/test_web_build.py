"""What is served is what `web/` builds: checked by hashes, without Node."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
BUILT = ROOT / "server" / "web"
REMEDY = "run `npm ci && npm run build` in web/ and commit server/web"


def hashes(folder: Path, *, without: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != without
    }


@pytest.fixture
def manifest() -> dict[str, dict[str, str]]:
    return json.loads((BUILT / "SOURCES.json").read_text())


def test_the_sources_are_those_it_was_built_from(manifest):
    assert hashes(WEB, without="node_modules") == manifest["sources"], REMEDY


def test_the_built_files_are_those_of_the_build(manifest):
    assert hashes(BUILT, without="SOURCES.json") == manifest["built"], REMEDY


def test_the_page_names_only_its_own_files(manifest):
    page = (BUILT / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert named
    assert {name.removeprefix("/") for name in named} <= manifest["built"].keys()
    assert "<script>" not in page
    assert " style=" not in page


def test_styles_load_nothing():
    for sheet in (BUILT / "assets").glob("*.css"):
        text = sheet.read_text()
        addresses = re.findall(r"url\(([^)]*)\)", text)
        assert all(address.strip("\"'").startswith("data:") for address in addresses)
        assert "@import" not in text


def test_the_lock_file_records_no_registry():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
