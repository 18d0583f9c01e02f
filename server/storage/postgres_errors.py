"""What PostgreSQL's errors mean to the port: try again, or never this row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]

from server.storage.cancelling import end_if_cancelled
from server.storage.store import RowRefusedError, StoreUnavailableError

REFUSED_CLASSES = frozenset(
    {
        "22",  # data exceptions: characters, numbers and dates that cannot be
        "23",  # integrity: a check or a missing value
        "54",  # program limits: a value too long for its index
    }
)

LASTING = frozenset(
    {
        "53100",  # disk full
        "25006",  # read only
        "58030",  # input or output error below the server
        "28P01",  # wrong password
        "28000",  # not allowed in
        "3D000",  # no such database
        "42501",  # not allowed to
        "42P01",  # no such table
        "XX001",  # damaged data
        "XX002",  # damaged index
    }
)
"""Codes of what time alone does not mend."""


def translate(error: Exception) -> StoreUnavailableError | RowRefusedError:
    """Return the port's error for one that asyncpg or the system raised."""
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return RowRefusedError(f"a value does not fit its column: {error}")
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate or "")
        if code[:2] in REFUSED_CLASSES:
            return RowRefusedError(f"{code}: {error}")
        return StoreUnavailableError(f"{code}: {error}", code=code, permanent=code in LASTING)
    name = type(error).__name__
    code = "timeout" if isinstance(error, TimeoutError) else ""
    return StoreUnavailableError(f"{name}: {error}", code=code)


@asynccontextmanager
async def translating() -> AsyncIterator[None]:
    """Raise the port's errors instead of asyncpg's and the system's."""
    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,  # and TimeoutError
        UnicodeEncodeError,
        OverflowError,
    ) as error:
        end_if_cancelled(error)
        raise translate(error) from error
