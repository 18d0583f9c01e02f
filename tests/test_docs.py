"""What the documents say is true: links, tests, commands, variables, metrics, and no machine."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import typer

from server.cli.app import app
from server.config.settings import Settings
from server.telemetry.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text("utf-8")
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text("utf-8")

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED_TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./([^)]+)\)")
# Read by the page's development server only, which is no part of this server.
FOREIGN_VARIABLES = {"MANICULE_DEV_SERVER"}
# Written in pieces, so that this file is searched too.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:" + "|".join(("work", "root")) + r")(?![\w-])")
REGISTRY = re.compile("|".join((r"pypi\.(?:org|io)", r"python" r"hosted", r"npm" r"js\.")), re.I)


def prose(page):
    """The page without its code."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page):
    """The anchors that a reader of the page on a Git host finds."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target, anchor in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        assert path.is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: {target}#{anchor}"


def test_every_named_test_is_in_the_file_it_links_to():
    named = NAMED_TEST.findall(RELIABILITY)
    assert len(named) > 100
    for name, file in named:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text("utf-8")), f"{name} in {file}"
    assert len(named) == RELIABILITY.count("[`test_"), "each is a link to its file"


def shown_commands():
    """Every command line of ours that the README shows, without what stands before the name."""
    blocks = [block for kind, block in FENCE.findall(README) if kind in ("sh", "console")]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(manicule [^`]+)`", README)
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        names = [at for at, word in enumerate(words) if word.rpartition("/")[2] == "manicule"]
        if names:
            yield words[names[0] + 1 :]


@pytest.mark.parametrize("words", list(shown_commands()), ids=" ".join)
def test_every_command_shown_can_be_said(words):
    command, name = typer.main.get_command(app), "manicule"
    parent = None
    while True:
        context = command.make_context(name, list(words), parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert command is not None, name
        parent = context


def test_every_make_target_shown_is_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text("utf-8"), re.M):
            assert target in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_named_is_a_setting(page):
    rows = dataclasses.fields(Settings)
    known = {f"MANICULE_{row.name.upper()}" for row in rows} | FOREIGN_VARIABLES
    known |= {
        f"MANICULE_{row.name.upper()}_FILE" for row in rows if row.metadata.get("secret", False)
    }
    named = set(re.findall(r"MANICULE_[A-Z0-9_]*[A-Z0-9]", page.read_text("utf-8")))
    assert {name for name in named if not name.startswith("MANICULE_TEST")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_named_is_in_the_table(page):
    known = {f"{PREFIX}{row.name}" for row in METRICS}
    known |= {
        f"{PREFIX}{row.name}_{part}"
        for row in METRICS
        if row.kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
    assert set(re.findall(rf"\b{PREFIX}[a-z0-9_]*[a-z0-9]", page.read_text("utf-8"))) <= known


def texts():
    """Every text of the project; not what is made, fetched or installed here."""
    made = {"node_modules", "__pycache__", ".venv", "data", "dist", "build", "results"}
    folders = (
        "benchmarks",
        "compose",
        "docs",
        "kubernetes",
        "manicule",
        "prompts",
        "protocol",
        "scripts",
        "server",
    )
    for path in ROOT.iterdir():
        if path.is_file() and path.name not in (".env", ".git", "uv.lock"):
            yield path
    for folder in (*folders, "tests", "web", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not made & set(path.relative_to(ROOT).parts):
                yield path


def test_no_text_names_a_machine_or_a_package_registry():
    found = []
    for path in texts():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture, a PDF
        found += [
            f"{path.relative_to(ROOT)}: {match[0]}"
            for pattern in (MACHINE_PATH, REGISTRY)
            for match in pattern.finditer(text)
        ]
    assert found == []
