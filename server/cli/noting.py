"""Notes of commands in the audit log: what cannot be noted is not done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from server.config.settings import Settings
from server.feedback.audit import AUDIT_FILE, AuditAction, AuditLog, Fact
from server.storage.store import Filter


class NotedError(Exception):
    """The audit log cannot be written; the message says where, and what to do."""


async def note(
    settings: Settings, action: AuditAction, facts: Mapping[str, Fact], *, tenant: str = ""
) -> None:
    """Note an action durably, as done by whoever sits at the machine; raises `NotedError`."""
    log = AuditLog(settings.data_dir / AUDIT_FILE, time.time)
    said: dict[str, Any] = {"over": "command line", **facts}
    try:
        await asyncio.to_thread(lambda: log.note(action, tenant=tenant, **said))
    except OSError as error:
        raise NotedError(
            f"The audit log {log.path} cannot be written: {error.strerror or error}. "
            "Give a data folder that can be written with --data-dir."
        ) from None


def facts_of(where: Filter) -> dict[str, Fact]:
    """Return what the audit log holds of a filter: nobody's id."""
    given = {name: value for name, value in asdict(where).items() if value is not None}
    del given["tenant"]
    return given | ({"user_id": "(one person)"} if "user_id" in given else {})
