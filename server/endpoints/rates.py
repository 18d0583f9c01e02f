"""How often each key, person, tenant and address may ask."""

from __future__ import annotations

import math
import time

from protocol.errors import EventError
from protocol.events import RateLimitsUpdated
from server.endpoints.principals import Principal, client_of
from server.storage.rate_limits import MemoryRateLimits, Rate, RateLimits, Verdict

REQUESTS_PER_MINUTE = 3000  # 50 a second; a bulk of 500 judgements is one request

_WORDS = {"user": "key or token", "tenant": "tenant", "address": "address"}


class Rates:
    """The limits on whoever asks, each so many a minute; 0 is no limit.

    `requests` holds for HTTP requests, the others for questions whichever way they come.
    """

    def __init__(
        self,
        limits: RateLimits | None = None,
        *,
        requests: int = REQUESTS_PER_MINUTE,
        user: int = 0,
        tenant: int = 0,
        address: int = 0,
    ) -> None:
        self._limits = limits or MemoryRateLimits(time.time)
        self._requests = requests
        self._of_questions = {"user": user, "tenant": tenant, "address": address}

    async def take_request(self, principal: Principal | None, address: str) -> None:
        """Count one HTTP request; raises `EventError("rate_limited")` beyond."""
        who = client_of(principal) or f"address/{address}"
        verdict = await self._limits.take([Rate(f"requests/{who}", self._requests)])
        if verdict is not None and verdict.retry_after_s:
            raise EventError(
                "rate_limited",
                f"More than {self._requests} requests in a minute; wait, or send many at once",
                retry_after_ms=_ms(verdict.retry_after_s),
            )

    async def take_question(self, principal: Principal | None, address: str) -> Verdict | None:
        """Count one question; the verdict is None where no limit holds. See `refusal`."""
        tenant = principal.tenant if principal else ""
        names = {"user": client_of(principal), "tenant": tenant, "address": address}
        return await self._limits.take(
            [
                Rate(f"{scope}/{names[scope]}", per_minute)
                for scope, per_minute in self._of_questions.items()
                if per_minute and names[scope]
            ]
        )


def refusal(verdict: Verdict | None) -> EventError | None:
    """Return the error for a question over a limit, None when there is none."""
    if verdict is None or not verdict.retry_after_s:
        return None
    scope = _WORDS[verdict.rate.name.partition("/")[0]]
    return EventError(
        "rate_limited",
        f"More than {verdict.rate.per_minute} questions in a minute of one {scope}; wait",
        retry_after_ms=_ms(verdict.retry_after_s),
    )


def least_left(own: RateLimitsUpdated, verdict: Verdict | None) -> RateLimitsUpdated:
    """Return what a client is told: of its connection's rate and the others the nearest to 0."""
    if verdict is None or (verdict.remaining >= own.remaining and not verdict.retry_after_s):
        return own
    return RateLimitsUpdated(
        limit=verdict.rate.per_minute,
        remaining=verdict.remaining,
        reset_ms=_ms(verdict.reset_s),
    )


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
