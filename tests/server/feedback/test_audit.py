"""The audit log: appended to by many, broken by any change."""

import hashlib
import json
import stat
import subprocess
import sys

import msgspec
import pytest

from server.feedback.audit import FIRST, AuditLog, Broken, MemoryAudit, entries, verify


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def log_of(path, now: float = 1000.0) -> AuditLog:
    return AuditLog(path, lambda: now)


def fill(path, count: int = 5) -> list[bytes]:
    log = log_of(path)
    for number in range(count):
        log.note("export", actor="key", role="admin", tenant="acme", lines=number)
    return path.read_bytes().splitlines(keepends=True)


def test_entries_are_chained_lines(path):
    lines = fill(path, 3)
    assert verify(path) is None
    rows = [json.loads(line) for line in lines]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert rows[0]["previous"] == FIRST
    assert [row["previous"] for row in rows[1:]] == [row["sha256"] for row in rows[:-1]]
    bare = lines[1].strip().replace(rows[1]["sha256"].encode(), b"")
    assert rows[1]["sha256"] == hashlib.sha256(bare).hexdigest()
    assert rows[2] | {"sha256": 0, "previous": 0} == {
        "number": 3,
        "time": 1_000_000,
        "action": "export",
        "actor": "key",
        "role": "admin",
        "tenant": "acme",
        "facts": {"lines": 2},
        "previous": 0,
        "sha256": 0,
    }
    assert [entry.facts["lines"] for entry in entries(path)] == [0, 1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_is_taken_up_where_it_ended(path):
    fill(path, 2)
    assert log_of(path, 2000.0).note("erase").number == 3
    assert verify(path) is None


def tampered(lines: list[bytes]) -> dict[str, tuple[list[bytes], int]]:
    """Changes to five lines, each with the line that is broken then."""
    entry = msgspec.json.decode(lines[4])
    forged = json.dumps(entry | {"actor": "somebody"}, separators=(",", ":")).encode() + b"\n"
    other = lines[2].replace(b'"lines":2', b'"lines":9')
    return {
        "a changed fact": ([*lines[:2], other, *lines[3:]], 3),
        "the last line changed": ([*lines[:4], forged], 5),
        "a line removed": ([*lines[:1], *lines[2:]], 2),
        "the first line removed": (lines[1:], 1),
        "two lines exchanged": ([lines[0], lines[2], lines[1], *lines[3:]], 2),
        "a line twice": ([*lines[:2], lines[1], *lines[2:]], 3),
        "an empty line": ([*lines[:3], b"\n", *lines[3:]], 4),
        "a line of something": ([*lines[:3], b'{"x":1}\n', *lines[3:]], 4),
        "a space": ([*lines[:3], lines[3].replace(b":", b": ", 1), lines[4]], 4),
        "a field more": ([lines[0].replace(b"{", b'{"x":1,', 1), *lines[1:]], 1),
        "a line cut off": ([*lines[:4], lines[4][:-20]], 5),
        "a line cut off amid": ([*lines[:3], lines[3][:-20] + b"\n", lines[4]], 4),
        "too long a line": ([*lines, b"x" * 200_000 + b"\n"], 6),
        "no UTF-8": ([*lines, b"\xff\xfe\n"], 6),
    }  # fmt: skip


@pytest.mark.parametrize("how", tampered([b'{"actor":"a"}\n'] * 5))
def test_s51_every_change_is_found(path, how):
    changed, line = tampered(fill(path))[how]
    path.write_bytes(b"".join(changed))
    broken = verify(path)
    assert isinstance(broken, Broken)
    assert broken.line == line


def test_s51_every_changed_byte_is_found(path):
    whole = b"".join(fill(path, 2))
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert verify(path) is not None, at


def test_s51_an_end_cut_off_or_a_new_chain_is_found_by_a_hash_kept_elsewhere(path):
    lines = fill(path)
    kept = json.loads(lines[3])["sha256"]
    assert verify(path, kept) is None
    path.write_bytes(b"".join(lines[:3]))
    assert verify(path) is None
    assert verify(path, kept).line == 4
    path.unlink()
    log = log_of(path, 2000.0)
    for _ in range(5):
        log.note("export")
    assert verify(path, kept) is not None


def test_a_line_that_a_crash_cut_off_is_told_of(path):
    lines = fill(path)
    for length in (1, 20, len(lines[4]) - 2):
        path.write_bytes(b"".join(lines[:4]) + lines[4][:length])
        assert verify(path) is not None
        assert log_of(path).note("erase").number == 6
        assert [entry.action for entry in entries(path)][4:] == ["repaired", "erase"]
        assert verify(path) is None
        torn = path.read_bytes().replace(lines[4][:length] + b"\n", b"x\n")
        path.write_bytes(torn)
        assert verify(path) is not None


def test_a_first_line_cut_off_is_told_of_too(path):
    path.write_bytes(b'{"number":1,')
    log_of(path).note("export")
    assert verify(path) is None


def test_a_file_of_something_else_is_not_appended_to(path):
    path.write_bytes(b"something else\n")
    with pytest.raises(OSError, match="put it aside"):
        log_of(path).note("export")


def test_what_cannot_be_written_or_read_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        log_of(tmp_path / "file" / "audit.jsonl").note("export")
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none")
    log_of(tmp_path / "made" / "audit.jsonl").note("export")
    assert verify(tmp_path / "made" / "audit.jsonl") is None


WRITE = """
import sys
from pathlib import Path
from server.feedback.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), lambda: 1.0)
for _ in range(25):
    log.note("reject")
"""


def test_many_processes_make_one_chain(path):
    workers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert verify(path) is None
    assert [entry.number for entry in entries(path)] == list(range(1, 101))


def test_the_twin_chains_as_the_file_does(path):
    twin, log = MemoryAudit(lambda: 1000.0, max_entries=3), log_of(path)
    for number in range(5):
        assert twin.note("export", lines=number) == log.note("export", lines=number)
    assert len(twin.entries) == 3
