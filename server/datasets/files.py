"""The files of an export: written out of sight, made visible all at once, or not at all.

Everything here blocks; `service` calls it from one thread of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from server.datasets.formats import Format
from server.datasets.manifest import MANIFEST_NAME, Entry
from server.datasets.parquet import ParquetWriter
from server.datasets.splits import Part

_PIECE_BYTES = 2**20


class ExportError(Exception):
    """The export cannot be written there; the message says why and what to do."""


class Writer(Protocol):
    """Takes the lines of one file."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        ...

    def close(self) -> None:
        """Write what is left and make the file durable."""
        ...


class LineWriter:
    """Appends lines to a new file as they are."""

    def __init__(self, path: Path, header: bytes) -> None:
        self._file = path.open("xb")
        self._file.write(header)

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        self._file.write(b"".join(lines))

    def close(self) -> None:
        """Make the file durable."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


class Outbox:
    """A hidden folder beside `target` that becomes `target` when it is whole.

    The folder is locked while it is written: what an earlier process left when it was killed is
    told from what another one is writing now, and removed. The lock ends with its process.
    """

    def __init__(self, target: Path, chosen: Format, parts: Sequence[Part]) -> None:
        self._target = target
        self._partial = target.parent / f".{target.name}.partial"
        self._format = chosen
        self._parts = parts
        self._lock = -1
        self._writers: dict[Part, Writer] = {}
        self._lines: dict[Part, int] = dict.fromkeys(parts, 0)

    def open(self) -> None:
        """Make the folder and its files. Raises `ExportError`, or `OSError` from the disk."""
        if self._target.exists():
            raise ExportError(f"{self._target} is there already; name a new folder")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._take()
        for left in self._partial.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for part in self._parts:
            self._writers[part] = self._writer(self._partial / self._name(part))

    def write(self, part: Part, lines: Sequence[bytes]) -> None:
        """Append lines to the file of a part."""
        self._writers[part].write(lines)
        self._lines[part] += len(lines)

    def finish(self) -> tuple[Entry, ...]:
        """Close the files and return what each holds."""
        for writer in self._writers.values():
            writer.close()
        return tuple(self._entry(part) for part in self._parts)

    def publish(self, manifest: bytes) -> None:
        """Add the manifest and rename the folder to its name."""
        with (self._partial / MANIFEST_NAME).open("xb") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(self._lock)
        if self._target.exists():
            raise ExportError(f"{self._target} came into being meanwhile; name a new folder")
        self._partial.rename(self._target)
        self._release()
        parent = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def discard(self) -> None:
        """Remove all that was written and is not published."""
        if self._lock < 0:
            return
        for writer in self._writers.values():
            try:
                writer.close()
            except OSError:
                continue  # a full disk: the file goes all the same
        shutil.rmtree(self._partial, ignore_errors=True)
        self._release()

    def _take(self) -> None:
        while self._lock < 0:
            self._partial.mkdir(exist_ok=True)
            lock = os.open(self._partial, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._partial.stat().st_ino == os.fstat(lock).st_ino:
                    self._lock, lock = lock, -1
            except BlockingIOError as error:
                raise ExportError(f"another export is writing {self._target}") from error
            except FileNotFoundError:
                continue  # it was published or removed between the two calls
            finally:
                if lock >= 0:
                    os.close(lock)

    def _release(self) -> None:
        os.close(self._lock)
        self._lock = -1

    def _writer(self, path: Path) -> Writer:
        if self._format.name == "parquet":
            return ParquetWriter(path)
        return LineWriter(path, self._format.header)

    def _name(self, part: Part) -> str:
        return part + self._format.suffix

    def _entry(self, part: Part) -> Entry:
        path = self._partial / self._name(part)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
        return Entry(
            name=path.name,
            part=part,
            lines=self._lines[part],
            bytes=path.stat().st_size,
            sha256=digest.hexdigest(),
        )
