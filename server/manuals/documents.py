"""The values of the manuals package: pages, documents, passages, and the typed ways to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PAGE_SEPARATOR = "\f"

ManualProblem = Literal[
    "not_configured",  # the product has no manual in the catalog
    "not_found",  # 404/410, or no such file
    "unreachable",  # DNS, connect, TLS, 5xx
    "timeout",
    "forbidden_address",  # private or otherwise refused by the address rule
    "too_large",
    "wrong_type",  # not what its type says: an HTML login page served as a PDF
    "damaged",  # the parser refused it, crashed or exceeded its limits
    "encrypted",  # needs a password
    "scanned",  # pages are images without a text layer
    "empty",
]


class ManualError(Exception):
    """A manual could not be had. `problem` is stable; the message is for people.

    `retryable` says whether a later try may succeed without anybody changing anything.
    """

    def __init__(self, problem: ManualProblem, message: str) -> None:
        super().__init__(message)
        self.problem: ManualProblem = problem

    @property
    def retryable(self) -> bool:
        """True when trying again later may help."""
        return self.problem in ("unreachable", "timeout", "damaged")


@dataclass(frozen=True, slots=True)
class ManualSource:
    """Where a product's manual is: exactly one of `url` and `path`, and a second try."""

    url: str | None = None
    path: str | None = None
    type: Literal["pdf", "html", "text", "markdown"] | None = None
    backup_url: str | None = None


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """One line of a document's own table of contents; `page` from 1, `level` from 0."""

    title: str
    page: int
    level: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """What the extractor read: the text of each page in order, and the outline if there is one."""

    pages: tuple[str, ...]
    title: str = ""
    outline: tuple[OutlineEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ManualText:
    """A manual as it is cached: `text` is all pages joined by `PAGE_SEPARATOR`.

    `sha256` is the hex digest of `text` in UTF-8, `fetched_at` Unix seconds. No page holds a form
    feed of its own.
    """

    id: str
    text: str
    sha256: str
    title: str
    fetched_at: float
    etag: str = ""
    outline: tuple[OutlineEntry, ...] = ()

    @property
    def pages(self) -> int:
        """How many pages the text has."""
        return self.text.count(PAGE_SEPARATOR) + 1


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one page (or of adjacent pages' section) that ranking works on.

    `start_char` and `end_char` are offsets in the manual's whole text; `page` is where it starts.
    """

    page: int
    heading: str
    start_char: int
    end_char: int
