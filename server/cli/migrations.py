"""`manicule migrate`: brings the store of record to what this version needs."""

from __future__ import annotations

import json
import sys

from server.cli.noting import note
from server.cli.stores import DONE, USAGE, complain, run
from server.config.places import store_url
from server.config.rows import hide_secret
from server.config.settings import Settings
from server.storage.migrating import migrate
from server.storage.opening import postgres_url, sqlite_path


def run_migrate(settings: Settings, *, as_json: bool) -> int:
    """Apply what is due and print it; return the exit code."""
    url = store_url(settings)
    try:
        _ = sqlite_path(url) or postgres_url(url)
    except ValueError as error:
        return complain(f"--store: {error}", USAGE)
    return run(url, _migrate(settings, url, as_json=as_json))


async def _migrate(settings: Settings, url: str, *, as_json: bool) -> int:
    applied = await migrate(url)
    where = hide_secret(url)
    if applied:
        await note(settings, "migrate", {"store": where, "applied": ", ".join(applied)})
    if as_json:
        sys.stdout.write(json.dumps({"store": where, "applied": applied}) + "\n")
        return DONE
    for name in applied:
        sys.stdout.write(f"applied {name}\n")
    known = "is ready" if applied else "needs nothing"
    sys.stdout.write(f"{where} {known}.\n")
    return DONE
