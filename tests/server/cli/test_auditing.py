"""`manicule audit`: shows the log and tells whether it is whole."""

import json

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.feedback.audit import AuditLog, entries


@pytest.fixture
def run(tmp_path):
    def call(*words: str):
        return CliRunner().invoke(app, ["audit", *words, "--data-dir", str(tmp_path)])

    return call


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl", lambda: 1_790_000_000.0)
    log.note("export", actor="abc", role="admin", tenant="acme", format="csv")
    log.note("denied", code="forbidden")
    return log


def test_a_whole_log(run, log):
    last = list(entries(log.path))[-1].sha256
    for words in ((), ("--contains", last)):
        result = run("verify", *words)
        assert result.exit_code == 0
        assert f"is whole: 2 entries, the last one {last}" in result.output


def test_s51_a_changed_log_fails(run, log):
    log.path.write_bytes(log.path.read_bytes().replace(b"csv", b"trl"))
    result = run("verify")
    assert result.exit_code == 1
    assert "line 1 was changed." in result.output


def test_a_hash_that_is_missing_fails(run, log):
    result = run("verify", "--contains", "0" * 64)
    assert result.exit_code == 1
    assert "ends without the entry" in result.output


def test_the_list(run, log):
    lines = run("list").output.splitlines()
    assert lines[0] == '1 2026-09-21T14:13:20+00:00 export admin abc acme format="csv"'
    assert lines[1] == '2 2026-09-21T14:13:20+00:00 denied - code="forbidden"'
    [line] = run("list", "--limit", "1", "--json").output.splitlines()
    assert json.loads(line)["number"] == 2


@pytest.mark.parametrize("command", ["verify", "list"])
def test_no_log(run, command):
    result = run(command)
    assert result.exit_code == 3
    assert "There is no audit log" in result.output
