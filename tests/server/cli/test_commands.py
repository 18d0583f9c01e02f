import tomllib
from importlib.metadata import version

import pytest

COMMANDS = [("serve",), ("ask",), ("search",), ("check",), ("catalog",), ("catalog", "build")]


@pytest.mark.parametrize("command", [(), *COMMANDS, ("version",)])
async def test_every_command_explains_itself(manicule, command):
    done = await manicule(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage: manicule" in done.out


@pytest.mark.parametrize("command", [("serve",), ("ask",), ("search",), ("check",)])
async def test_help_shows_examples_and_exit_codes(manicule, command):
    done = await manicule(*command, "--help")
    told = " ".join(done.out.split())
    assert f"• manicule {command[0]}" in told or "Example: manicule" in told
    assert command == ("serve",) or "Exit codes" in told.replace("│ │ ", "")


async def test_help_without_words(manicule):
    done = await manicule()
    assert "manicule serve" in done.out + done.err


async def test_help_loads_no_server(manicule):
    """Help comes at once: nothing heavy is imported for it."""
    done = await manicule("serve", "--help", PYTHONPROFILEIMPORTTIME="1")
    heavy = (
        "uvicorn",
        "redis",
        "pypdf",
        "httpx",
        "starlette",
        "websockets",
        "rapidfuzz",
        "asyncpg",
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
    assert not loaded & set(heavy)
    assert "typer" in loaded


@pytest.mark.parametrize("words", [("version",), ("--version",)])
async def test_version(manicule, words):
    done = await manicule(*words)
    assert (done.code, done.out) == (0, f"manicule {version('manicule')}\n")


async def test_a_catalog_is_built_and_served_from_its_file(manicule, tmp_path):
    folder = tmp_path / "manuals"
    folder.mkdir()
    (folder / "td-17.txt").write_text("Hold both buttons.")
    printed = await manicule("catalog", "build", "manuals")
    assert printed.code == 0
    [row] = tomllib.loads(printed.out)["product"]
    assert row["id"] == "td-17"
    written = await manicule("catalog", "build", "manuals", "--output", "manuals/catalog.toml")
    assert (written.code, written.err) == (0, "")
    [row] = tomllib.loads((folder / "catalog.toml").read_text())["product"]
    assert row["manual"]["path"] == "td-17.txt"
    again = await manicule("catalog", "build", "manuals", "--output", "manuals/catalog.toml")
    assert again.code == 1
    assert "is there already" in again.err


async def test_a_folder_without_manuals_makes_no_catalog(manicule, tmp_path):
    (tmp_path / "empty").mkdir()
    done = await manicule("catalog", "build", "empty")
    assert (done.code, done.out) == (1, "")
    assert "holds no manuals" in done.err
