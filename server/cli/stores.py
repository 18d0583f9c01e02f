"""The store of record for one command: opened and closed, its faults told with what to do."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from server.cli.noting import NotedError
from server.cli.text import one_line
from server.config.places import store_url
from server.config.rows import hide_secret
from server.config.settings import Settings
from server.storage.migrating import MigrationError
from server.storage.opening import open_store, sqlite_path
from server.storage.outbox import SILENT, Announcer
from server.storage.store import RowRefusedError, Store, StoreUnavailableError
from server.webhooks.endpoints import WebhookError

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_STORE: Final = 3
INTERRUPTED: Final = 130
"""What a shell reports of a program ended by Ctrl-C."""


def run_on_store(
    settings: Settings, work: Callable[[Store], Awaitable[int]], *, announcing: bool = False
) -> int:
    """Open the store, do `work`, close it; return the exit code.

    With `announcing` endpoints are told of what `work` writes, as a server does.

    A SQLite file that is not there is not made: a mistyped folder should not look like an empty
    store.
    """
    url = store_url(settings)
    announcer = SILENT
    if announcing and settings.webhooks is not None:
        try:
            announcer = _announcer(settings)
        except (WebhookError, OSError) as error:
            return complain(f"MANICULE_WEBHOOKS: {error}", USAGE)
    return run(url, _on_store(url, work, announcer))


def run(url: str, work: Awaitable[int]) -> int:
    """Return the exit code of `work` on the store at `url`; its faults are told in a line."""

    async def awaited() -> int:
        return await work

    where = hide_secret(url)
    try:
        return asyncio.run(awaited())
    except StoreUnavailableError as error:
        return complain(f"The store {where} cannot be used: {error}. Try: manicule check", NO_STORE)
    except RowRefusedError as error:
        return complain(f"An option says what no store can hold: {error}", USAGE)
    except NotedError as error:
        return complain(str(error), FAILED)
    except MigrationError as error:
        return complain(f"The store {where}: {error}", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def complain(problem: str, code: int) -> int:
    """Tell what is wrong; return the exit code."""
    sys.stderr.write(f"{one_line(problem)}\n")
    return code


def _announcer(settings: Settings) -> Announcer:
    from server.plan import read_webhooks
    from server.webhooks.notices import Announcements

    return Announcements(read_webhooks(settings))


async def _on_store(
    url: str, work: Callable[[Store], Awaitable[int]], announcer: Announcer = SILENT
) -> int:
    try:
        path = sqlite_path(url)
        store = open_store(url, now=time.time, announcer=announcer)
    except ValueError as error:
        return complain(f"--store: {error}", USAGE)
    if path is not None and not path.exists():
        return complain(
            f"There is no store at {path}. `manicule serve` makes one; name another with --store "
            "or --data-dir.",
            NO_STORE,
        )
    async with aclosing(store):
        await store.open()
        return await work(store)
