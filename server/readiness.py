"""What `/ready` says of the things this process depends on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from server.config.settings import Settings
from server.endpoints.probes import Dependency
from server.llm.chain import Chain
from server.storage.checks import Finding, check_cache, check_log
from server.storage.store import Store, StoreUnavailableError
from server.telemetry.memory import MemoryGuard

# Probes come every few seconds from several places; the services are asked this often.
FRESH_S = 2.0
STORE_WAIT_S = 1.0


class Readiness:
    """Looks at the dependencies, at most every `FRESH_S` seconds.

    The cache and the log are not required: without them answers are slower or not resumable, and
    `/ready` says so while the server goes on.
    """

    def __init__(
        self, settings: Settings, chain: Chain, store: Store, memory: MemoryGuard | None = None
    ) -> None:
        self.store = store
        self._memory = memory or MemoryGuard()
        self.settings = settings
        self._chain = chain
        self._found: list[Dependency] = []
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def look(self) -> list[Dependency]:
        """Return the state of each dependency."""
        async with self._lock:
            if time.monotonic() - self._looked_at > FRESH_S:
                self._found = await self._look()
                self._looked_at = time.monotonic()
        return [*self._found, self._look_at_memory()]

    async def _look(self) -> list[Dependency]:
        found = [Dependency("model", True, ",".join(self._chain.names), required=True)]
        found.append(await self._look_at_store())
        if self.settings.cache_url:
            found.append(await _ask("cache", check_cache, self.settings.cache_url))
        if self.settings.log_url:
            found.append(await _ask("log", check_log, self.settings.log_url))
        return found

    def _look_at_memory(self) -> Dependency:
        """Not ready while questions are refused: others may have memory for them."""
        short, used = self._memory.is_short(), f"{self._memory.share:.0%}"
        detail = f"{used} of the mark of {self._memory.nearest} in use" if short else "works"
        return Dependency("memory", not short, detail, required=True)

    async def _look_at_store(self) -> Dependency:
        """Ask the store; without it answers go on, and feedback goes to the journal if it can."""
        try:
            async with asyncio.timeout(STORE_WAIT_S):
                await self.store.check()
        except (StoreUnavailableError, TimeoutError) as error:
            return Dependency("store", False, str(error) or "does not answer")
        return Dependency("store", True, "works")


async def _ask(name: str, check: Callable[[str], Awaitable[list[Finding]]], url: str) -> Dependency:
    findings = await check(url)
    faults = [finding for finding in findings if not finding.ok]
    detail = "; ".join(f"{finding.what.rstrip('.')}. {finding.remedy}" for finding in faults)
    return Dependency(name, not faults, detail or "works")
