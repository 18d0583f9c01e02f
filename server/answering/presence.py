"""This node among the others: that it lives, and what others tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from server.storage.cancelling import end_tasks
from server.storage.fleet import Fleet
from server.storage.response_log import LogError

log = structlog.get_logger("manicule")

LEASE_S = 4.0
"""A node that is silent for so long is dead to the others, who then take its answers over."""

RENEW_S = 1.0
LISTEN_S = 0.4
"""Longest wait of one listening: shorter than the time a command is given."""

RETRY_S = 0.5


class Presence:
    """Renews the node's lease and passes on what it is told (ids of answers to cancel)."""

    def __init__(self, fleet: Fleet, node: str, *, on_cancel: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._node = node
        self._on_cancel = on_cancel
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Attend from here on; a log that is away is tried again."""
        try:
            await self._fleet.attend(self._node, ttl_s=LEASE_S)
        except LogError as error:
            log.warning("lease_failed", reason=str(error))
        self._tasks = [self._begin(self._renew(), "lease"), self._begin(self._listen(), "listen")]

    async def aclose(self) -> None:
        """Say that the node has gone."""
        await end_tasks(*self._tasks)
        self._tasks = []
        try:
            await self._fleet.leave(self._node)
        except LogError:
            return  # the lease lapses by itself

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(work, name=f"presence-{name}")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._fleet.attend(self._node, ttl_s=LEASE_S)
            except LogError:
                continue  # the log writer tells of it

    async def _listen(self) -> None:
        while True:
            try:
                messages = await self._fleet.hear(self._node, wait_s=LISTEN_S)
            except LogError:
                await asyncio.sleep(RETRY_S)
                continue
            for message in messages:
                self._on_cancel(message)
