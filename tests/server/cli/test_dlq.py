"""`manicule dlq` and `manicule erase` against a real store."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path

import pytest
from filled_store import MONDAY_MS, fill, judged, now_ms, store_file
from judgements import DAY_MS
from typer.testing import CliRunner

from server.cli.app import app
from server.feedback.audit import AUDIT_FILE, entries, verify
from server.storage.records import encode_row
from server.storage.sqlite_store import SqliteStore

BAD = b'{"kind":"feedback","comment":"\x1b[31m\xff"}'


def letters():
    """1: one that the store takes now; 2: stored already; 3: no row; 4: its id in use; 5: as 1."""
    good, stored, other, late = (judged(n, "accept")[1] for n in (100, 0, 1, 101))
    taken = encode_row(other).replace(b'"aaaa', b'"bbbb')
    return [
        (encode_row(good), "a text is not Unicode", MONDAY_MS),
        (encode_row(stored), "22P05: no such character", MONDAY_MS + 1),
        (BAD, "unreadable: \x1b[2J", MONDAY_MS + 2),
        (taken, "conflict", MONDAY_MS + 3),
        (encode_row(late), "too large", now_ms()),
    ]


@pytest.fixture
async def filled(tmp_path):
    rows = [row for number in range(3) for row in judged(number, "accept")]
    await fill(tmp_path, rows, letters())


async def stored_ids(folder):
    """The letters that the store has now."""
    store = SqliteStore(store_file(folder))
    await store.open()
    try:
        return [letter.id for letter in await store.dead_letters(100)]
    finally:
        await store.aclose()


async def test_letters_are_listed_page_by_page(manicule, filled):
    done = await manicule("dlq", "list")
    assert (done.code, done.err) == (0, "")
    rows = done.out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert "2025-03-10 00:00:00" in rows[0]
    assert rows[1].endswith("22P05: no such character")
    assert "\x1b" not in done.out
    done = await manicule("dlq", "list", "--limit", "2", "--after", "1")
    *_, two, three, more = done.out.splitlines()
    assert (two.split()[0], three.split()[0]) == ("2", "3")
    assert more == "There may be more: add --after 3"


async def test_letters_of_one_tenant_are_listed(manicule, filled, tmp_path):
    theirs = b'{"tenant": "acme\\u001b[31m"}'
    await fill(
        tmp_path, (), [(b'{"tenant": "acme"}', "refused", MONDAY_MS), (theirs, "refused", 0)]
    )
    done = await manicule("dlq", "list", "--tenant", "acme")
    [row] = done.out.splitlines()[2:]
    assert row.split()[:4] == ["6", "2025-03-10", "00:00:00", "acme"]
    done = await manicule("dlq", "list", "--tenant", "", "--json")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == [1, 2, 4, 5]
    done = await manicule("dlq", "show", "7")
    assert "\x1b" not in done.out
    assert "tenant    ?" in (await manicule("dlq", "show", "3")).out


async def test_json_has_the_original_byte_for_byte(manicule, filled):
    done = await manicule("dlq", "list", "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    originals = [base64.b64decode(each["original"]) for each in found]
    assert originals == [original for original, _, _ in letters()]
    done = await manicule("dlq", "show", "3", "--json")
    assert json.loads(done.out) == found[2]


async def test_f103_a_letter_is_shown_harmlessly(manicule, filled):
    done = await manicule("dlq", "show", "3")
    assert (done.code, done.err) == (0, "")
    assert "received  2025-03-10 00:00:00 UTC" in done.out
    assert "unreadable: \N{REPLACEMENT CHARACTER}[2J" in done.out
    assert r"\x1b[31m\xff" in done.out
    assert "\x1b" not in done.out
    done = await manicule("dlq", "show", "99")
    assert (done.code, done.out) == (1, "")
    assert "See: manicule dlq list" in done.err


async def test_replaying_all_keeps_what_the_store_refuses(manicule, filled, tmp_path):
    done = await manicule("dlq", "replay", "--all")
    assert (done.code, done.err) == (1, "")
    said = [" ".join(line.split()) for line in done.out.splitlines()]
    assert said == [
        "2 stored",
        "1 in the store already",
        "1 under an id that other content has; they stay",
        "1 unreadable; they stay",
    ]
    assert await stored_ids(tmp_path) == [3, 4]
    stats = json.loads((await manicule("stats", "--json")).out)
    assert stats["acceptance"]["overall"]["counts"]["accepted"] == 5


async def test_replaying_some_by_their_ids(manicule, filled):
    done = await manicule("dlq", "replay", "1", "1", "2", "--json")
    assert done.code == 0
    counts = {"stored": 1, "duplicates": 1, "refused": 0, "conflicts": 0, "unreadable": 0}
    assert json.loads(done.out) == counts | {"absent": 0}
    done = await manicule("dlq", "replay", "1")
    assert (done.code, done.out.split()) == (1, ["1", "not", "there"])


async def test_removing_asks_first(manicule, filled, tmp_path):
    done = await manicule("dlq", "purge", "3")
    assert (done.code, done.out) == (1, "")
    assert "Remove 1 dead letter for good? [y/N]" in done.err
    assert "Say --yes" in done.err
    assert await answering("n\n", tmp_path, "dlq", "purge", "3") == (1, "")
    assert await stored_ids(tmp_path) == [1, 2, 3, 4, 5]
    assert await answering("y\n", tmp_path, "dlq", "purge", "3") == (0, "1 dead letter removed.\n")
    assert await stored_ids(tmp_path) == [1, 2, 4, 5]


async def test_removing_what_is_old(manicule, filled, tmp_path):
    done = await manicule("dlq", "purge", "--before", "30d", "--yes")
    assert (done.code, done.out) == (0, "4 dead letters removed.\n")
    assert await stored_ids(tmp_path) == [5]
    done = await manicule("dlq", "purge", "--before", "2025-03-10", "--yes")
    assert (done.code, done.out) == (0, "No such dead letters. Nothing was removed.\n")
    done = await manicule("dlq", "purge", "1", "5", "--yes")
    assert (done.code, done.out) == (1, "1 dead letter removed.\n")
    assert (await manicule("dlq", "list")).out == "No dead letters.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay",), "say --all"),
        (("replay", "1", "--all"), "say --all"),
        (("purge", "--yes"), "say --before"),
        (("purge", "1", "--before", "1d", "--yes"), "say --before"),
        (("purge", "--before", "x"), "--before: 'x' is no time"),
    ],
)
def test_letters_must_be_named(words, said):
    done = CliRunner().invoke(app, ["dlq", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


async def test_one_person_is_erased_after_asking(manicule, tmp_path):
    rows = [row for n in range(3) for row in judged(n, "accept")]
    rows += [row for n in range(3, 5) for row in judged(n, "accept", user_id="u2")]
    letter = encode_row(judged(100, "reject", user_id="u2")[1])
    await fill(tmp_path, rows, [(letter, "refused", MONDAY_MS + DAY_MS)])
    done = await manicule("erase", "--user", "u2")
    assert (done.code, done.out) == (1, "")
    assert "Erase everything that is kept about user u2?" in done.err
    done = await manicule("erase", "--user", "u2", "--tenant", "other", "--yes")
    assert done.code == 1
    assert "Nothing is kept about user u2 of tenant other." in done.err
    done = await manicule("erase", "--user", "u2", "--yes", "--json")
    assert (done.code, done.err) == (0, "")
    erased = json.loads(done.out)
    assert (erased["feedback"], erased["interactions"], erased["dead_letters"]) == (2, 2, 1)
    assert await stored_ids(tmp_path) == []
    exported = await manicule("export", "-o", "out", "--json")
    assert json.loads(exported.out)["lineage"]["judgements"] == 3


async def test_s51_what_was_done_is_noted_and_nobody_named(manicule, filled, tmp_path):
    await manicule("dlq", "list")
    await manicule("dlq", "replay", "1")
    await manicule("dlq", "purge", "3")
    await manicule("dlq", "purge", "3", "--yes")
    await manicule("erase", "--user", "u1", "--yes")
    log = tmp_path / "data" / AUDIT_FILE
    assert verify(log) is None
    noted = [(each.action, each.facts) for each in entries(log)]
    over = {"over": "command line"}
    assert noted[:3] == [
        ("dead_letters.replay", {**over, "letters": 1}),
        ("dead_letters.purge", {**over, "letters": 1}),
        ("erase", {**over, "state": "begun"}),
    ]
    assert [action for action, _ in noted[3:]] == ["erase"]
    assert noted[3][1]["feedback"] == 4
    assert "u1" not in log.read_text()


async def test_what_cannot_be_noted_is_not_done(manicule, filled, tmp_path):
    (tmp_path / "data" / AUDIT_FILE).mkdir()
    commands = [
        ("dlq", "purge", "1", "--yes"), ("dlq", "replay", "1"),
        ("erase", "--user", "u1", "--yes"), ("export", "-o", "out"),
    ]  # fmt: skip
    for done in await asyncio.gather(*(manicule(*words) for words in commands)):
        assert (done.code, done.out) == (1, "")
        assert "--data-dir" in done.err
    assert await stored_ids(tmp_path) == [1, 2, 3, 4, 5]
    assert not (tmp_path / "out").exists()


def test_nobody_is_not_a_person():
    done = CliRunner().invoke(app, ["erase", "--user", " ", "--yes"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--user: is empty" in done.stderr


async def answering(answer, folder, *words):
    """Run a command that reads an answer; its exit code and output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MANICULE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", *words, cwd=folder,
        env=kept | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(answer.encode()), 20)
    return process.returncode, out.decode()
