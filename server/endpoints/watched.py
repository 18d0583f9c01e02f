"""Small files that an operator changes while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger("manicule")

MAX_BYTES: Final = 2**20
"""Keys and revocations of thousands fit; a file over this was named by mistake."""

Value = TypeVar("Value")


class FileError(Exception):
    """A file cannot be used; the message names it and says why, without what is in it."""


class WatchedFile(Generic[Value]):
    """What a file holds, as `parse` reads it; `refresh` reads it again when it was changed.

    `parse` raises `ValueError` with a message that names no secret. When the first reading fails
    `FileError` is raised; a later failure is logged once, and what was held before stays.
    """

    def __init__(self, path: Path, parse: Callable[[str], Value]) -> None:
        self._path = path
        self._parse = parse
        self._stamp = self._look()
        self.value = self._read()

    def refresh(self) -> None:
        """Read the file if it is not the one that was read. Blocks as long as the disk does."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.value = self._read()
        except FileError as error:
            log.error("file_not_read", reason=str(error))  # noqa: TRY400 - no stack is needed
        else:
            log.info("file_read", file=str(self._path))

    def _look(self) -> tuple[int, int, int]:
        try:
            facts = self._path.stat()
        except OSError as error:
            return 0, 0, error.errno or 0
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    def _read(self) -> Value:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise ValueError(f"over {MAX_BYTES} bytes")
            return self._parse(raw.decode())
        except UnicodeDecodeError:
            raise FileError(f"{self._path}: not UTF-8 text") from None
        except ValueError as error:
            raise FileError(f"{self._path}: {error}") from None
        except OSError as error:
            raise FileError(f"{self._path}: {error.strerror}") from None
