"""The store of record by its URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.storage.outbox import SILENT, Announcer
from server.storage.store import Store

REMEDY = "Write sqlite:///FILE (sqlite:////FILE for an absolute path) or postgresql://HOST/NAME."


def open_store(url: str, *, now: Callable[[], float], announcer: Announcer = SILENT) -> Store:
    """Return the store at `url`; call its `open` next. `now` is Unix time in seconds.

    `announcer` says what others are to be told of what is written.

    Raises `ValueError`, with what to write instead, for a URL of no store.
    """
    path = sqlite_path(url)
    if path is not None:
        from server.storage.sqlite_store import SqliteStore

        return SqliteStore(path, announcer=announcer)
    from server.storage.postgres_store import PostgresStore

    return PostgresStore(postgres_url(url), now=now, announcer=announcer)


def sqlite_path(url: str) -> Path | None:
    """Return the file of a `sqlite:///FILE` URL, None for a URL of another kind.

    What follows the third slash is the path: relative to the working folder, absolute when it
    begins with a slash itself.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return None
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not path or path == ":memory:" or path.endswith("/"):
        raise ValueError(f"the store's URL names no file. {REMEDY}")
    return Path(path)


def postgres_url(url: str) -> str:
    """Return `url` if it is one of PostgreSQL, else raise `ValueError`."""
    scheme = urlsplit(url).scheme
    if scheme not in ("postgresql", "postgres"):
        raise ValueError(f"the store's URL begins with {scheme or 'no scheme'}. {REMEDY}")
    return url
