"""`manicule backup`: a copy of the SQLite store while the server goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from server.cli.noting import note
from server.cli.stores import DONE, FAILED, NO_STORE, USAGE, complain, run
from server.config.places import store_url
from server.config.settings import Settings
from server.storage.opening import sqlite_path
from server.storage.sqlite_backup import back_up


def run_backup(settings: Settings, target: Path, *, as_json: bool) -> int:
    """Copy the store to `target` and say how large it is; return the exit code."""
    url = store_url(settings)
    try:
        source = sqlite_path(url)
    except ValueError as error:
        return complain(f"--store: {error}", USAGE)
    if source is None:
        return complain(
            "PostgreSQL makes its own copies: pg_dump --format=custom (docs/recovery.md)", USAGE
        )
    if not source.is_file():
        return complain(f"{source}: there is no store. Name it with --data-dir.", NO_STORE)
    return run(url, _back_up(settings, source, target, as_json=as_json))


async def _back_up(settings: Settings, source: Path, target: Path, *, as_json: bool) -> int:
    await note(settings, "backup", {"file": target.name})
    try:
        size = back_up(source, target)
    except FileExistsError:
        return complain(f"{target}: is there already. Remove it or name another file.", FAILED)
    except OSError as error:
        return complain(f"{target}: cannot be written ({error.strerror}).", FAILED)
    if as_json:
        sys.stdout.write(json.dumps({"file": str(target), "bytes": size}) + "\n")
    else:
        sys.stdout.write(f"{size:,} bytes in {target}, complete and checked.\n")
    return DONE
