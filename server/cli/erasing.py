"""`manicule erase`: removes what is kept about one person, and says how much that was."""

from __future__ import annotations

import json
import sys

from server.cli.letters import confirmed
from server.cli.noting import note
from server.cli.stores import DONE, FAILED, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.storage.store import Store


def run_erase(settings: Settings, user_id: str, tenant: str, *, yes: bool, as_json: bool) -> int:
    """Erase one person's data after asking; print the report; return the exit code."""

    async def work(store: Store) -> int:
        of = f" of tenant {one_line(tenant)}" if tenant else ""
        question = f"Erase everything that is kept about user {one_line(user_id)}{of}?"
        if not yes and not confirmed(question):
            return FAILED
        await note(settings, "erase", {"state": "begun"}, tenant=tenant)
        erased = await store.erase_user(user_id, tenant)
        await note(settings, "erase", {"state": "done", **erased}, tenant=tenant)
        if as_json:
            sys.stdout.write(json.dumps(erased) + "\n")
        else:
            for table, count in erased.items():
                sys.stdout.write(f"{count:>8}  {table.replace('_', ' ')}\n")
        if any(erased.values()):
            return DONE
        return complain(f"Nothing is kept about user {one_line(user_id)}{of}.", FAILED)

    return run_on_store(settings, work)
