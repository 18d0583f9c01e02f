"""Whole answers, kept by everything that made them, so that a cached one cannot be stale.

The key holds the hash of the manual's text, of the prompt, the model chain, the language, what
the conversation said before and the question. A changed manual, prompt or model is another key.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

import msgspec
import orjson

from protocol.events import FallbackName
from server.storage.blobs import BlobCache

FORMAT_VERSION = 1  # a value of another version is a miss

_SPACES = re.compile(r"\s+")


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A model's text as it came, markers and all, with what the client is told of it."""

    version: int
    text: str
    model: str
    fallback: FallbackName | None
    signal: float | None


def normalise_question(text: str) -> str:
    """Return the question without what cannot change its answer: case, spacing, end marks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACES.sub(" ", folded).strip().rstrip("?!. ")


def answer_key(*parts: str | None) -> str:
    """Return the key for what made an answer; `parts` in one fixed order."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


class AnswerCache:
    """Whole answers in a blob store."""

    def __init__(self, store: BlobCache, *, ttl_s: int) -> None:
        self._store = store
        self._ttl_s = ttl_s

    async def get(self, key: str) -> CachedAnswer | None:
        """Return the answer under `key`; anything unreadable is a miss."""
        raw = await self._store.get(key)
        if raw is None:
            return None
        try:
            answer = msgspec.json.decode(raw, type=CachedAnswer)
        except msgspec.DecodeError:
            return None
        return answer if answer.version == FORMAT_VERSION else None

    async def put(self, key: str, answer: CachedAnswer) -> None:
        """Keep the answer."""
        await self._store.put(key, msgspec.json.encode(answer), ttl_s=self._ttl_s)
