"""A manual made ready to be asked, and its way to and from the stored form."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from server.manuals.documents import (
    PAGE_SEPARATOR,
    Extracted,
    ManualError,
    ManualText,
    OutlineEntry,
)
from server.manuals.ranking import ManualIndex
from server.storage.texts import StoredText, fingerprint

MAX_OUTLINE = 5000
"""Outline entries kept; the longest real tables of contents have about two thousand."""

MAX_TITLE = 300
"""Characters kept of a title, the manual's own or one of its outline."""


BuildIndex = Callable[[ManualText], ManualIndex]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manual, the offset in its text at which each page starts, and its index."""

    manual: ManualText
    page_starts: tuple[int, ...]
    index: ManualIndex
    identity: str = ""
    """A hash over all that an answer can depend on: the text and the outline."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, near enough to bound a cache by."""
        return sys.getsizeof(self.manual.text) + 40 * len(self.page_starts) + self.index.size_bytes


def prepare(manual: ManualText, build_index: BuildIndex) -> Prepared:
    """Index the manual; takes processor time, so call it in a thread."""
    starts = [0]
    end = manual.text.find(PAGE_SEPARATOR)
    while end >= 0:
        starts.append(end + 1)
        end = manual.text.find(PAGE_SEPARATOR, end + 1)
    whole = f"{manual.sha256} {outline_json(manual.outline)}"
    identity = hashlib.sha256(whole.encode()).hexdigest()
    return Prepared(manual, tuple(starts), build_index(manual), identity)


def confirmed_at(prepared: Prepared, fetched_at: float, etag: str) -> Prepared:
    """The same manual, found unchanged by its source at `fetched_at`."""
    return replace(prepared, manual=replace(prepared.manual, fetched_at=fetched_at, etag=etag))


def to_text(manual_id: str, extracted: Extracted, *, etag: str, fetched_at: float) -> ManualText:
    """The extracted pages as one text. Raises `ManualError` when no page has any text."""
    pages = [_clean(page.replace(PAGE_SEPARATOR, "\n")) for page in extracted.pages]
    if not any(page.strip() for page in pages):
        raise ManualError("empty", "The manual has no text in it.")
    text = PAGE_SEPARATOR.join(pages)
    outline = tuple(
        OutlineEntry(_clean(entry.title)[:MAX_TITLE], entry.page, entry.level)
        for entry in extracted.outline[:MAX_OUTLINE]
    )
    return ManualText(
        id=manual_id,
        text=text,
        sha256=fingerprint(text),
        title=_clean(extracted.title)[:MAX_TITLE],
        fetched_at=fetched_at,
        etag=etag,
        outline=outline,
    )


def to_stored(manual: ManualText, key: str) -> StoredText:
    """The manual as the cache keeps it; `key` names its source."""
    return StoredText(
        id=manual.id,
        text=manual.text,
        sha256=manual.sha256,
        title=manual.title,
        fetched_at=manual.fetched_at,
        etag=manual.etag,
        outline_json=outline_json(manual.outline),
        source_key=key,
    )


def from_stored(stored: StoredText) -> ManualText | None:
    """The manual, or None when its outline is not what we write."""
    try:
        outline = msgspec.json.decode(stored.outline_json or "[]", type=tuple[OutlineEntry, ...])
    except msgspec.DecodeError:
        return None
    return ManualText(
        id=stored.id,
        text=stored.text,
        sha256=stored.sha256,
        title=stored.title,
        fetched_at=stored.fetched_at,
        etag=stored.etag,
        outline=outline,
    )


def outline_json(outline: tuple[OutlineEntry, ...]) -> str:
    """The outline as JSON, empty for none."""
    return msgspec.json.encode(outline).decode() if outline else ""


def _clean(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
