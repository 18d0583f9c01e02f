"""Holds a body while it arrives, in memory at first and then in a nameless temporary file."""

from __future__ import annotations

import asyncio
import tempfile
from types import TracebackType
from typing import IO, Final, Self

from server.manuals.documents import ManualError

MEMORY_BYTES: Final = 4 * 2**20
"""Kept in memory; beyond it a body that will be refused in the end should not cost memory."""


class Spool:
    """Bytes in the order they were added; `size` is how many. Closing it frees all.

    Where no temporary file can be had (a read-only container) everything stays in memory.
    """

    def __init__(self) -> None:
        self.size = 0
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self._on_disk = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held = bytearray()
        if self._file is not None:
            self._file.close()

    async def add(self, part: bytes) -> None:
        """Add bytes at the end."""
        self.size += len(part)
        self._held += part
        if self._on_disk and len(self._held) > MEMORY_BYTES:
            held, self._held = self._held, bytearray()
            await asyncio.to_thread(self._write, held)

    async def joined(self) -> bytes:
        """Return all that was added."""
        if self._file is None:
            return bytes(self._held)
        return await asyncio.to_thread(self._read)

    def _write(self, held: bytearray) -> None:
        if self._file is None:
            try:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
            except OSError:
                self._on_disk, self._held = False, held
                return
        try:
            self._file.write(held)
        except OSError as error:
            raise ManualError(
                "unreachable", "There is no room for the manual's download: free some disk space."
            ) from error

    def _read(self) -> bytes:
        assert self._file is not None
        self._file.seek(0)
        return self._file.read() + bytes(self._held)
