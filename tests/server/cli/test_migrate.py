"""`manicule migrate`, and what all commands on the store have in common."""

import asyncio
import json
import os
import sqlite3

import pytest
from filled_store import fill, store_file
from typer.testing import CliRunner

from server.cli.app import app
from server.feedback.audit import AUDIT_FILE, entries
from server.storage.migrating import read_migrations

COMMANDS = [
    ("migrate",), ("stats",), ("export",), ("erase",),
    ("dlq", "list"), ("dlq", "show"), ("dlq", "replay"), ("dlq", "purge"),
]  # fmt: skip


@pytest.fixture
def said_here(tmp_path, monkeypatch):
    """Run the command line in this process, in an empty folder, without anybody's settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MANICULE_")]:
        monkeypatch.delenv(name)
    return lambda *words, **variables: CliRunner().invoke(app, words, env=variables)


async def test_a_new_store_is_made_and_the_second_time_needs_nothing(manicule, tmp_path):
    names = [one.name for one in read_migrations("sqlite")]
    done = await manicule("migrate")
    assert (done.code, done.err) == (0, "")
    *applied, last = done.out.splitlines()
    assert applied == [f"applied {name}" for name in names]
    assert last == f"sqlite:///{store_file(tmp_path)} is ready."
    done = await manicule("migrate", "--json")
    assert json.loads(done.out) == {"store": f"sqlite:///{store_file(tmp_path)}", "applied": []}


async def test_what_was_applied_is_in_the_audit_log(manicule, tmp_path):
    for _ in range(2):
        assert (await manicule("migrate")).code == 0
    [entry] = entries(tmp_path / "data" / AUDIT_FILE)
    assert entry.action == "migrate"
    names = ", ".join(one.name for one in read_migrations("sqlite"))
    assert entry.facts["applied"] == names


async def test_two_at_once_apply_each_migration_once(manicule):
    both = await asyncio.gather(*(manicule("migrate", "--json") for _ in range(2)))
    assert [done.code for done in both] == [0, 0]
    applied = [name for done in both for name in json.loads(done.out)["applied"]]
    assert applied == [one.name for one in read_migrations("sqlite")]


async def test_postgresql_is_migrated(manicule, postgres_url):
    done = await manicule("migrate", "--json", MANICULE_STORE=postgres_url)
    assert (done.code, done.err) == (0, "")
    applied = json.loads(done.out)["applied"]
    assert applied == [one.name for one in read_migrations("postgres")]


async def test_the_store_is_read_from_env_file_and_option(manicule, tmp_path):
    (tmp_path / ".env").write_text("MANICULE_DATA_DIR=elsewhere here#1\n")
    assert (await manicule("migrate")).code == 0
    assert (tmp_path / "elsewhere here#1" / "manicule.db").is_file()
    assert (await manicule("migrate", "--data-dir", "third")).code == 0
    assert (tmp_path / "third" / "manicule.db").is_file()
    assert (await manicule("migrate", "--store", "sqlite:///own.db")).code == 0
    assert (tmp_path / "own.db").is_file()


async def test_a_store_of_a_newer_version_is_left_alone(manicule, tmp_path):
    await fill(tmp_path)
    with sqlite3.connect(store_file(tmp_path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, '9999_later.sql', 'x')")
    connection.close()
    for words in (("migrate",), ("stats",)):
        done = await manicule(*words)
        assert (done.code, done.out) == (1, "")
        assert "Run a newer version of manicule" in done.err
        assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("sqlite:////dev/null/x.db", 3, "Try: manicule check"),
        ("sqlite:///folder/", 2, "names no file"),
        ("mysql://host/name", 2, "not a store URL"),
        ("postgresql://u:hunter2@127.0.0.1:1/name", 3, "Try: manicule check"),
    ],
)
def test_a_store_that_cannot_be_had_is_a_line_with_a_remedy(said_here, url, code, said):
    done = said_here("migrate", MANICULE_STORE=url)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        "stats", "export -o out", "erase --user u --yes", "dlq list", "dlq show 1",
        "dlq replay --all", "dlq purge 1 --yes",
    ],
)  # fmt: skip
def test_a_command_that_reads_makes_no_store(said_here, tmp_path, words):
    done = said_here(*words.split())
    assert (done.exit_code, done.stdout) == (3, "")
    assert "There is no store at" in done.stderr
    assert "--data-dir" in done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_wrong_settings_are_told_as_check_tells_them(manicule):
    done = await manicule("stats", MANICULE_MODLE="x")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean MANICULE_MODEL?" in done.err


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(said_here, words):
    done = said_here(*words, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Exit codes: 0" in done.stdout
    assert "Example" in done.stdout
    assert f"manicule {' '.join(words)}" in done.stdout
    assert "--store" in done.stdout
