"""The audit log: who exported, erased, rejected, or was denied; one chained JSON line for each.

Each entry holds the SHA-256 of the one before and its own, so that a changed, missing, moved or
added line is found by `verify`. Somebody who may write the file can make a whole new chain: note
the hash of an entry elsewhere from time to time, and have `verify` look for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import msgspec

AUDIT_FILE = "audit.jsonl"
FIRST = "0" * 64
"""What the first entry holds for the hash of the one before."""

MAX_LINE_BYTES = 64 * 1024
"""Above what any entry needs; a longer line is no entry."""

AuditAction = Literal[
    "export",
    "erase",
    "retention",
    "dead_letters.replay",
    "dead_letters.purge",
    "webhooks.replay",
    "migrate",
    "backup",
    "reject",
    "denied",
    "repaired",  # by the log itself: the line before was cut off by a crash
]
ACTIONS: tuple[AuditAction, ...] = get_args(AuditAction)

Fact = str | int | float | bool | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `time` is Unix milliseconds, `number` counts from 1.

    `actor` names a key or a token, or is empty for whoever sits at the machine; `facts` hold no
    question, no answer and nobody's id.
    """

    number: int
    time: int
    action: AuditAction
    actor: str = ""
    role: str = ""
    tenant: str = ""
    facts: dict[str, Fact] = {}
    previous: str = FIRST
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line, counted from 1, that does not continue the chain, and why."""

    line: int
    reason: str


class Audit(Protocol):
    """Where actions are noted."""

    def note(
        self,
        action: AuditAction,
        *,
        actor: str = "",
        role: str = "",
        tenant: str = "",
        **facts: Fact,
    ) -> Entry:
        """Note an action durably; raises `OSError` when that cannot be done."""
        ...


class MemoryAudit:
    """The twin in memory: the last entries of this process, chained as the file's are."""

    def __init__(self, wall_clock: Callable[[], float], max_entries: int = 1000) -> None:
        self.entries: deque[Entry] = deque(maxlen=max_entries)
        self._wall_clock = wall_clock

    def note(
        self,
        action: AuditAction,
        *,
        actor: str = "",
        role: str = "",
        tenant: str = "",
        **facts: Fact,
    ) -> Entry:
        """Keep the entry."""
        last = self.entries[-1] if self.entries else None
        entry = _chained(
            last,
            Entry(
                number=0,
                time=int(self._wall_clock() * 1000),
                action=action,
                actor=actor,
                role=role,
                tenant=tenant,
                facts=facts,
            ),
        )
        self.entries.append(entry)
        return entry


class AuditLog:
    """The file that all processes of a machine append to, one at a time.

    Each entry is on the disk when `note` returns: some milliseconds, so call it in a thread.
    `wall_clock` gives Unix seconds.
    """

    def __init__(self, path: Path, wall_clock: Callable[[], float]) -> None:
        self.path = path
        self._wall_clock = wall_clock

    def note(
        self,
        action: AuditAction,
        *,
        actor: str = "",
        role: str = "",
        tenant: str = "",
        **facts: Fact,
    ) -> Entry:
        """Append an entry."""
        entry = Entry(
            number=0,
            time=int(self._wall_clock() * 1000),
            action=action,
            actor=actor,
            role=role,
            tenant=tenant,
            facts=facts,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            return _append(file, entry)
        finally:
            os.close(file)


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries that can be read, in order; verify the file to know that it is whole."""
    for line in _lines(path):
        try:
            yield msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def verify(path: Path, contains: str | None = None) -> Broken | None:
    """Return the first entry that does not continue the chain, or None for a whole file.

    `contains` is the hash of an entry noted earlier: without that entry the file is another one,
    however whole it looks. A line that a crash cut off is in order when the next one says so.
    Raises `OSError` when there is no file.
    """
    last: Entry | None = None
    torn: bytes | None = None
    number, found = 0, contains is None
    for number, line in enumerate(_lines(path), 1):
        entry = _read(line)
        if entry is None:
            if torn is not None:
                return Broken(number - 1, "is no entry")
            torn = line
            continue
        if (reason := _fault(entry, line, last, torn)) is not None:
            return Broken(number if torn is None else number - 1, reason)
        last, torn = entry, None
        found = found or entry.sha256 == contains
    if torn is not None:
        return Broken(number, "is no entry")
    if not found:
        return Broken(number + 1, "the file ends without the entry that it should contain")
    return None


def _fault(entry: Entry, line: bytes, last: Entry | None, torn: bytes | None) -> str | None:
    """Return why `entry` does not follow `last`, with a `torn` line in between."""
    if torn is not None and not (
        entry.action == "repaired" and entry.facts.get("torn_sha256") == _sha256(torn)
    ):
        return "is no entry"
    if torn is None and entry.action == "repaired":
        return "tells of a line cut off that is not there"
    if line != msgspec.json.encode(entry) or entry.sha256 != _hash_of(entry):
        return "was changed"
    if entry != _chained(last, entry):
        return "does not follow the line before"
    return None


def _append(file: int, entry: Entry) -> Entry:
    last, torn = _tail(file)
    data = b""
    if torn:
        facts: dict[str, Fact] = {"torn_sha256": _sha256(torn)}
        last = _chained(last, Entry(number=0, time=entry.time, action="repaired", facts=facts))
        data = b"\n" + msgspec.json.encode(last) + b"\n"
    entry = _chained(last, entry)
    data += msgspec.json.encode(entry) + b"\n"
    if os.write(file, data) != len(data):
        raise OSError("the audit log was not written whole")
    os.fsync(file)
    return entry


def _tail(file: int) -> tuple[Entry | None, bytes]:
    """Return the last whole entry and the bytes of a line that was cut off after it."""
    size = os.fstat(file).st_size
    wanted = min(size, 3 * MAX_LINE_BYTES)
    *whole, torn = os.pread(file, wanted, size - wanted).split(b"\n")
    for line in reversed(whole):
        if (entry := _read(line)) is not None:
            return entry, torn
    if whole or (torn and size > MAX_LINE_BYTES):
        raise OSError("the audit log holds what it did not write; put it aside")
    return None, torn


def _chained(last: Entry | None, entry: Entry) -> Entry:
    """Return `entry` as the one after `last`."""
    linked = msgspec.structs.replace(
        entry,
        number=1 if last is None else last.number + 1,
        previous=FIRST if last is None else last.sha256,
    )
    return msgspec.structs.replace(linked, sha256=_hash_of(linked))


def _hash_of(entry: Entry) -> str:
    return _sha256(msgspec.json.encode(msgspec.structs.replace(entry, sha256="")))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines without their ends; an over-long one in pieces, none of which is an entry."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line.removesuffix(b"\n")
