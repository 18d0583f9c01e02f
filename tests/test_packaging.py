"""What is installed is whole: every package, and every file that is no code but is needed."""

import fnmatch
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = sorted(PROJECT["package-data"])


def test_the_packages_are_those_that_the_image_copies():
    dockerfile = (ROOT / "Dockerfile").read_text()
    context = (ROOT / ".dockerignore").read_text().splitlines()
    for package in PACKAGES:
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}" in context
        assert f"{package}*" in PROJECT["packages"]["find"]["include"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_that_is_no_code_is_package_data(package):
    patterns = PROJECT["package-data"][package]
    not_needed = {"prompts/RELEASED"}  # held to the prompts by a test, never read by the server
    for path in (ROOT / package).rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        inside = path.relative_to(ROOT / package).as_posix()
        if path.is_dir() or path.suffix in (".py", ".pyc", ".md") or name in not_needed:
            continue
        loose = [pattern.replace("**/", "*") for pattern in patterns]
        assert any(fnmatch.fnmatch(inside, pattern) for pattern in loose), name
