"""`manicule expire` and an erasure that reaches the archive."""

import gzip
import json
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, interaction, judgement, uuid7

from server.cli.app import app
from server.feedback.audit import AUDIT_FILE, entries, verify
from server.storage.opening import open_store


@pytest.fixture
def run(tmp_path):
    def call(*words: str):
        return CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])

    return call


@pytest.fixture
async def filled(tmp_path):
    now = int(time.time() * 1000)
    store = open_store(f"sqlite:///{tmp_path / 'manicule.db'}", now=time.time)
    await store.open()
    for days, user in ((0, "ada"), (500, "ada"), (501, "grace")):
        at = now - days * DAY_MS
        await store.write([
            judgement(event_id=uuid7(at), received_at=at, user_id=user, comment=f"by {user}"),
            interaction(response_id=f"r{days}", started_at=at, user_id=user),
        ])  # fmt: skip
    await store.aclose()


def archived(tmp_path) -> str:
    files = (tmp_path / "archive").glob("*.gz")
    return "".join(gzip.decompress(path.read_bytes()).decode() for path in files)


@pytest.mark.usefixtures("filled")
def test_s50_old_months_leave_for_the_archive_and_erasures_follow_them(run, tmp_path):
    refused = run("expire")
    assert refused.exit_code == 1
    done = json.loads(run("expire", "--yes", "--json").stdout)
    assert (done["judgements"], done["interactions"]) == (2, 2)
    assert "by ada" in archived(tmp_path)
    assert "by grace" in archived(tmp_path)
    assert json.loads(run("expire", "--yes", "--json").stdout)["judgements"] == 0

    erased = run("erase", "--user", "ada", "--yes", "--json")
    assert erased.exit_code == 0
    assert json.loads(erased.stdout)["archived"] == 1
    assert "by ada" not in archived(tmp_path)
    assert "by grace" in archived(tmp_path)
    assert run("erase", "--user", "ada", "--yes").exit_code == 1

    log = tmp_path / AUDIT_FILE
    assert verify(log) is None
    assert [entry.action for entry in entries(log)][:4] == ["retention"] * 4
    assert '"ada"' not in log.read_text()


@pytest.mark.usefixtures("filled")
def test_without_an_archive(run, tmp_path):
    done = run("expire", "--yes", "--no-archive")
    assert done.exit_code == 0
    assert "2 questions and answers." in done.stdout
    assert not (tmp_path / "archive").exists()
