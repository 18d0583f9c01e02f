"""The cache of manual texts: its value, its port, and the twin that lives in this process.

In Redis a text is two keys that people can read with `redis-cli`: `doc_text:<id>`, plain UTF-8
with a form feed between pages, and `doc_meta:<id>`, a hash.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

TEXT_PREFIX = "doc_text:"
META_PREFIX = "doc_meta:"
FORMAT_VERSION = "1"
"""Raised when the stored form changes; an entry of another version is a miss."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """A manual's text as it is cached.

    `sha256` is `fingerprint(text)`, `fetched_at` Unix seconds, `source_key` names
    where the text came from, so that a product whose manual moved does not get the old one.
    `outline_json` is empty when the manual has no outline.
    """

    id: str
    text: str
    sha256: str
    title: str
    fetched_at: float
    etag: str = ""
    outline_json: str = ""
    source_key: str = ""


@dataclass(frozen=True, slots=True)
class StoredHead:
    """What is known about a cached text without reading it."""

    sha256: str
    fetched_at: float
    etag: str
    source_key: str


class Miss(Enum):
    """Why a text was not had from the cache. All but `UNREACHABLE` are the cache's own word."""

    ABSENT = "absent"
    CORRUPT = "corrupt"  # wrong version, wrong checksum, wrong type at the key, not UTF-8
    OVERSIZE = "oversize"  # larger than we ever write: not read
    UNREACHABLE = "unreachable"


def fingerprint(text: str) -> str:
    """SHA-256 in hex of the text in UTF-8, so that anybody can check it against the cached text."""
    return hashlib.sha256(text.encode()).hexdigest()


class TextCache(Protocol):
    """Manual texts by manual id. No method raises: a cache that fails is a cache that misses."""

    async def get(self, manual_id: str) -> StoredText | Miss:
        """The text, whole and verified, or why not."""
        ...

    async def head(self, manual_id: str) -> StoredHead | Miss:
        """What is known about the text, which is not read and therefore not verified."""
        ...

    async def put(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Store or overwrite for `ttl_s`; False when it could not be stored."""
        ...

    async def touch(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Write everything but the text anew and keep both for `ttl_s` from now."""
        ...

    async def delete(self, manual_id: str) -> None:
        """Forget the text."""
        ...

    async def present(self, manual_ids: Sequence[str]) -> frozenset[str]:
        """Which of these ids have a text here."""
        ...

    async def used(self, manual_ids: Sequence[str]) -> None:
        """These texts were used without being read: they are to leave last."""
        ...


class MemoryTextCache:
    """Texts of this process, the least recently used leaving first; bounded in characters' bytes.

    Holds the very string it is given, so a text that is also in use elsewhere costs nothing more.
    `now` is a clock in seconds that goes on evenly.
    """

    def __init__(self, max_bytes: int, now: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[StoredText, float, int]] = OrderedDict()

    async def get(self, manual_id: str) -> StoredText | Miss:
        """The text, or `Miss.ABSENT`."""
        return self._find(manual_id) or Miss.ABSENT

    async def head(self, manual_id: str) -> StoredHead | Miss:
        """What is known about the text."""
        found = self._find(manual_id)
        if found is None:
            return Miss.ABSENT
        return StoredHead(found.sha256, found.fetched_at, found.etag, found.source_key)

    async def put(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Store or overwrite; False when the text alone exceeds the bound."""
        self._drop(stored.id)
        size = 2 * len(stored.text) + 1024  # what CPython needs for most texts, and the rest
        if size > self._max_bytes:
            return False
        self._kept[stored.id] = (stored, self._now() + ttl_s, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))
        return True

    async def touch(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Replace all but the text of an entry that is here."""
        found = self._find(stored.id)
        return found is not None and await self.put(replace(stored, text=found.text), ttl_s=ttl_s)

    async def delete(self, manual_id: str) -> None:
        """Forget the text."""
        self._drop(manual_id)

    async def present(self, manual_ids: Sequence[str]) -> frozenset[str]:
        """Which of these ids have a text here."""
        return frozenset(one for one in manual_ids if self._find(one, used=False))

    async def used(self, manual_ids: Sequence[str]) -> None:
        """Move these to the end of the queue for leaving."""
        for manual_id in manual_ids:
            self._find(manual_id)

    def _find(self, manual_id: str, *, used: bool = True) -> StoredText | None:
        entry = self._kept.get(manual_id)
        if entry is None:
            return None
        if entry[1] <= self._now():
            self._drop(manual_id)
            return None
        if used:
            self._kept.move_to_end(manual_id)
        return entry[0]

    def _drop(self, manual_id: str) -> None:
        entry = self._kept.pop(manual_id, None)
        if entry is not None:
            self._bytes -= entry[2]
