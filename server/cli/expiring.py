"""`manicule expire`: what is too old leaves the store, its months into an archive."""

from __future__ import annotations

import json
import sys

from server.cli.letters import confirmed
from server.cli.noting import note
from server.cli.options import now_ms
from server.cli.stores import DONE, FAILED, complain, run_on_store
from server.config.settings import Settings
from server.feedback import retention
from server.feedback.retention import ARCHIVE_FOLDER
from server.storage.store import Store


def run_expire(settings: Settings, *, archive: bool, yes: bool, as_json: bool) -> int:
    """Remove what is older than the setting says, after asking; return the exit code."""
    days = settings.feedback_retention_days
    folder = settings.data_dir / ARCHIVE_FOLDER if archive else None

    async def work(store: Store) -> int:
        if not yes and not confirmed(f"Remove what is older than {days} days?"):
            return FAILED
        await note(settings, "retention", {"state": "begun", "days": days, "archive": archive})
        try:
            found = await retention.run(store, now_ms(), days, folder)
        except OSError as error:
            return complain(f"The archive {folder} cannot be written: {error}", FAILED)
        counts = {"judgements": found.judgements, "interactions": found.interactions}
        await note(settings, "retention", {"state": "done", **counts})
        if as_json:
            sys.stdout.write(json.dumps({"months": found.months, **counts}) + "\n")
            return DONE
        for month, count in found.months.items():
            sys.stdout.write(f"{month}  {count:>8}  judgements\n")
        sys.stdout.write(f"{found.interactions} questions and answers.\n")
        return DONE

    return run_on_store(settings, work)
