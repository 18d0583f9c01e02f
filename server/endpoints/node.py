"""What the doors of one process share: who it is, whether it is draining, who is connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from protocol.events import SessionFacts
from server.answering.service import Answering
from server.endpoints.origins import OriginRule
from server.manuals.library import Library
from server.manuals.products import Catalog
from server.manuals.search import ProductSearch
from server.telemetry.metrics import Metrics


class Drainable(Protocol):
    """A connection that can be told to go."""

    def drain(self, reason: str, time_left_ms: int) -> None:
        """Tell the client to finish or go elsewhere."""
        ...

    def leave(self) -> None:
        """Close with 1001."""
        ...


@dataclass(slots=True)
class Node:
    """One process at work. `new_facts` gives the facts of a new session."""

    catalog: Catalog
    answering: Answering
    search: ProductSearch
    manuals: Library
    origins: OriginRule
    metrics: Metrics
    clock: Callable[[], float]
    new_facts: Callable[[], SessionFacts]
    max_connections: int
    send_buffer_bytes: int
    slow_client_s: float
    max_body_bytes: int
    draining: bool = False
    connections: set[Drainable] = field(default_factory=set)

    async def drain(self, within_s: float) -> None:
        """Take nothing new, let running answers finish, then close the sockets."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.drain("the server is restarting", int(within_s * 1000))
        try:
            async with asyncio.timeout(within_s):
                await self.answering.wait_for_all()
        except TimeoutError:
            self.answering.cut_off_all()
            await self.answering.wait_for_all()
        for connection in tuple(self.connections):
            connection.leave()
