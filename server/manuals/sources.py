"""The port that manuals come through: from a source to the text of its pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from server.manuals.documents import Extracted, ManualSource


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a manual is: bytes while fetching, pages while extracting; `total` if known."""

    stage: Literal["fetching", "extracting"]
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manual as its source has it now; `etag` revalidates it, empty when it cannot be."""

    extracted: Extracted
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The source still has what the given etag named."""


class ManualLoader(Protocol):
    """Fetches and extracts."""

    async def load(
        self, source: ManualSource, etag: str, on_progress: OnProgress
    ) -> Loaded | Unchanged:
        """The manual, or `Unchanged` when `etag` (empty for none) still holds.

        Raises `ManualError`. `on_progress` is called in the event loop.
        """
        ...


@lru_cache(maxsize=4096)
def source_key(source: ManualSource) -> str:
    """A short name of where a text came from; another source never gets that text.

    A hash, since a URL may carry a signature that must not be readable in a cache.
    """
    place = source.url or f"file:{source.path}"
    return hashlib.sha256(f"{place} {source.type}".encode()).hexdigest()[:32]
