"""Manual texts in Redis: `doc_text:<id>` and `doc_meta:<id>`, verified on every read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.storage.faults import StorageError
from server.storage.texts import (
    FORMAT_VERSION,
    META_PREFIX,
    TEXT_PREFIX,
    Miss,
    StoredHead,
    StoredText,
    fingerprint,
)

if TYPE_CHECKING:
    from server.storage.redis_client import RedisClient

MAX_TEXT_BYTES = 64 * 2**20
"""Longest text that is written or read; a longer value at a key was not put there by us."""

MAX_META_BYTES = 4 * 2**20
"""Longest field of the hash, which the outline of a long manual comes nowhere near."""

VERIFY_HERE_BYTES = 256 * 1024
"""Texts longer than this are decoded and hashed in a thread: about 1 ms of the event loop."""

FIELDS = ("version", "sha256", "pages", "etag", "fetched_at", "title", "source_key", "outline")


class RedisTextCache:
    """The cache that a fleet shares.

    The hash is written before the text, so that whoever is told that the text changed finds the
    new hash; a reader between the two writes sees a wrong checksum, reads once more, and then
    counts it as corrupt, which is a miss. No command touches two keys (Redis Cluster).
    """

    def __init__(self, client: RedisClient, *, max_text_bytes: int = MAX_TEXT_BYTES) -> None:
        self._client = client
        self._max_text_bytes = max_text_bytes

    async def get(self, manual_id: str) -> StoredText | Miss:
        """The text, verified against its checksum, or why not."""
        found = await self._read(manual_id)
        if found is Miss.CORRUPT:
            found = await self._read(manual_id)
        return found

    async def head(self, manual_id: str) -> StoredHead | Miss:
        """What the hash says, if the text is there too; the text is not read."""
        try:
            size = await self._text_bytes(manual_id)
            if isinstance(size, Miss):
                return size
            meta = await self._meta(manual_id)
        except StorageError as fault:
            return _as_miss(fault)
        if isinstance(meta, Miss):
            return meta
        return StoredHead(meta.sha256, meta.fetched_at, meta.etag, meta.source_key)

    async def put(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Write hash, then text; False when the server refused or the text is too long."""
        data = stored.text.encode()
        if len(data) > self._max_text_bytes or len(stored.outline_json) > MAX_META_BYTES // 4:
            return False
        try:
            await self._write_meta(stored, ttl_s)
            key = TEXT_PREFIX + stored.id
            await self._client.call("SET", key, data, "PX", _ms(ttl_s), size=len(data))
        except StorageError:
            # The hash may already be the new one: better no entry than one that never verifies.
            await self.delete(stored.id)
            return False
        return True

    async def touch(self, stored: StoredText, *, ttl_s: float) -> bool:
        """Write the hash anew and keep both keys for `ttl_s` from now."""
        try:
            await self._write_meta(stored, ttl_s)
            return bool(await self._client.call("PEXPIRE", TEXT_PREFIX + stored.id, _ms(ttl_s)))
        except StorageError:
            return False

    async def delete(self, manual_id: str) -> None:
        """Forget both keys; the text first, since that is what others are told about."""
        for prefix in (TEXT_PREFIX, META_PREFIX):
            try:
                await self._client.call("DEL", prefix + manual_id)
            except StorageError:
                return

    async def present(self, manual_ids: Sequence[str]) -> frozenset[str]:
        """Which of these ids have a text here; none when the server cannot say."""
        if not manual_ids:
            return frozenset()
        try:
            replies = await self._client.pipeline(
                [("EXISTS", TEXT_PREFIX + manual_id) for manual_id in manual_ids]
            )
        except StorageError:
            return frozenset()
        return frozenset(
            manual_id for manual_id, there in zip(manual_ids, replies, strict=True) if there == 1
        )

    async def used(self, manual_ids: Sequence[str]) -> None:
        """`TOUCH` both keys of each, which an LRU policy goes by."""
        touches = [
            ("TOUCH", prefix + manual_id)
            for manual_id in manual_ids
            for prefix in (TEXT_PREFIX, META_PREFIX)
        ]
        with contextlib.suppress(StorageError):
            if touches:
                await self._client.pipeline(touches)

    async def _read(self, manual_id: str) -> StoredText | Miss:
        try:
            size = await self._text_bytes(manual_id)
            if isinstance(size, Miss):
                return size
            meta = await self._meta(manual_id)
            if isinstance(meta, Miss):
                return meta
            data = await self._client.call("GET", TEXT_PREFIX + manual_id, size=size)
        except StorageError as fault:
            return _as_miss(fault)
        if not isinstance(data, bytes):
            return Miss.ABSENT
        if len(data) > VERIFY_HERE_BYTES:
            return await asyncio.to_thread(_verified, meta, data)
        return _verified(meta, data)

    async def _text_bytes(self, manual_id: str) -> int | Miss:
        size = await self._client.call("STRLEN", TEXT_PREFIX + manual_id)
        if not isinstance(size, int) or size == 0:
            return Miss.ABSENT
        return Miss.OVERSIZE if size > self._max_text_bytes else size

    async def _meta(self, manual_id: str) -> StoredText | Miss:
        """The hash as a `StoredText` without text. Its fields' lengths are asked first."""
        key = META_PREFIX + manual_id
        lengths = await self._client.pipeline([("HSTRLEN", key, name) for name in FIELDS])
        for length in lengths:
            if isinstance(length, StorageError):
                raise length
        if sum(length for length in lengths if isinstance(length, int)) > MAX_META_BYTES:
            return Miss.OVERSIZE
        values = await self._client.call("HMGET", key, *FIELDS)
        if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
            return Miss.CORRUPT
        return _parse_meta(manual_id, dict(zip(FIELDS, values, strict=True)))

    async def _write_meta(self, stored: StoredText, ttl_s: float) -> None:
        key = META_PREFIX + stored.id
        values: dict[str, str | int] = {
            "version": FORMAT_VERSION,
            "sha256": stored.sha256,
            "pages": stored.text.count("\f") + 1,
            "etag": stored.etag,
            "fetched_at": repr(stored.fetched_at),
            "title": stored.title,
            "source_key": stored.source_key,
            "outline": stored.outline_json,
        }
        pairs = [part for name in FIELDS for part in (name, values[name])]
        size = len(stored.outline_json)
        try:
            await self._client.call("HSET", key, *pairs, size=size)
        except StorageError as fault:
            if fault.kind != "wrong_type":
                raise
            await self._client.call("DEL", key)
            await self._client.call("HSET", key, *pairs, size=size)
        await self._client.call("PEXPIRE", key, _ms(ttl_s))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _as_miss(fault: StorageError) -> Miss:
    return Miss.CORRUPT if fault.kind == "wrong_type" else Miss.UNREACHABLE


def _parse_meta(manual_id: str, fields: dict[str, bytes]) -> StoredText | Miss:
    try:
        meta = {name: value.decode() for name, value in fields.items()}
        fetched_at = float(meta["fetched_at"])
    except ValueError:
        return Miss.CORRUPT
    if meta["version"] != FORMAT_VERSION:
        return Miss.CORRUPT
    return StoredText(
        id=manual_id,
        text="",
        sha256=meta["sha256"],
        title=meta["title"],
        fetched_at=fetched_at,
        etag=meta["etag"],
        outline_json=meta["outline"],
        source_key=meta["source_key"],
    )


def _verified(meta: StoredText, data: bytes) -> StoredText | Miss:
    try:
        text = data.decode()
    except ValueError:
        return Miss.CORRUPT
    if fingerprint(text) != meta.sha256:
        return Miss.CORRUPT
    return StoredText(
        id=meta.id,
        text=text,
        sha256=meta.sha256,
        title=meta.title,
        fetched_at=meta.fetched_at,
        etag=meta.etag,
        outline_json=meta.outline_json,
        source_key=meta.source_key,
    )
