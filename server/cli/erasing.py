"""`manicule erase`: removes what is kept about one person, and says how much that was."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from server.cli.letters import confirmed
from server.cli.noting import note
from server.cli.options import now_ms
from server.cli.stores import DONE, FAILED, complain, run_on_store
from server.cli.text import one_line
from server.config.settings import Settings
from server.feedback.audit import Fact
from server.feedback.privacy import Erasure, ErasureError, erase_user
from server.feedback.retention import ARCHIVE_FOLDER
from server.storage.journal import JournalError
from server.storage.redis_journal import RedisJournal
from server.storage.redis_opening import open_redis
from server.storage.redis_response_log import RedisResponseLog
from server.storage.response_log import LogError
from server.storage.store import Store


def run_erase(
    settings: Settings,
    user_id: str,
    tenant: str,
    datasets: Sequence[Path] = (),
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Erase one person's data after asking; print the report; return the exit code."""

    async def work(store: Store) -> int:
        of = f" of tenant {one_line(tenant)}" if tenant else ""
        question = f"Erase everything that is kept about user {one_line(user_id)}{of}?"
        if not yes and not confirmed(question):
            return FAILED
        await note(settings, "erase", {"state": "begun"}, tenant=tenant)
        try:
            report = await _erase(settings, store, user_id, tenant, datasets)
        except (ErasureError, JournalError, LogError, OSError, msgspec.DecodeError) as error:
            return complain(f"Not all was erased: {error}. Mend that and repeat it.", FAILED)
        erased = {
            **report.store,
            "archived": report.archived,
            "datasets": report.datasets,
            "answers": report.answers,
        }
        done: dict[str, Fact] = {"state": "done", "erasure": report.id, **erased}
        await note(settings, "erase", done, tenant=tenant)
        if as_json:
            sys.stdout.write(json.dumps({"erasure": report.id, **erased}) + "\n")
        else:
            for table, count in erased.items():
                sys.stdout.write(f"{count:>8}  {table.replace('_', ' ')}\n")
        if report.found:
            return DONE
        return complain(f"Nothing is kept about user {one_line(user_id)}{of}.", FAILED)

    return run_on_store(settings, work)


async def _erase(
    settings: Settings, store: Store, user_id: str, tenant: str, datasets: Sequence[Path]
) -> Erasure:
    async with AsyncExitStack() as stack:
        journal = log = None
        if settings.log_url:
            client = open_redis(settings.log_url)
            stack.push_async_callback(client.aclose)
            journal, log = RedisJournal(client), RedisResponseLog(client)
        return await erase_user(
            store,
            user_id,
            tenant,
            now=now_ms(),
            journal=journal,
            archive_dir=settings.data_dir / ARCHIVE_FOLDER,
            datasets=datasets,
            log=log,
        )
