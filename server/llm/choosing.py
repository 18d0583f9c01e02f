"""Which model of a chain is asked next: health, rests and budgets decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from server.llm.budgets import RetryBudget
from server.llm.calls import Call, loop_s
from server.llm.cooling import Cooling, MemoryCooling
from server.llm.deployments import Deployment
from server.llm.port import ModelRequest, UpstreamError, UpstreamErrorKind

MAX_CALLS = 3
"""Calls of models for one request, hedges included; a quotation of the manual is none."""

RETRIED_ALONE: frozenset[UpstreamErrorKind] = frozenset({"connect", "server", "malformed"})
"""Failures without a token after which the only model of a chain is asked again: they come at
once and may pass. After a timeout the reader has waited long enough."""

Withheld = Literal["breaker", "cooling", "retry_budget", "hedge_budget"]
"""Why a call was not made."""

WithheldCallback = Callable[[str, Withheld], None]


@dataclass(slots=True)
class Turn:
    """One request on its way through the chain."""

    request: ModelRequest
    deadline_s: float
    hedge_after_s: float | None
    fallback_only: bool
    attempts: int = 0
    calls: int = 0  # attempts that were no fallback
    latest: str = ""
    tried: set[str] = field(default_factory=set)
    open: list[Call] = field(default_factory=list)
    errors: list[UpstreamError] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    speaking: Call | None = None  # whose words are given
    was_reset: bool = False
    out_of_time: bool = False

    @property
    def has_text(self) -> bool:
        """Whether text has been given that no reset has made void."""
        return self.speaking is not None and self.speaking.has_text

    @property
    def is_over(self) -> bool:
        """Whether a failure now is the last one: no time, or the reader was reset before."""
        return self.out_of_time or (self.has_text and self.was_reset)

    def error(self) -> UpstreamError:
        """Return what says most about a later try."""
        if self.errors:
            return next((error for error in self.errors if error.retryable), self.errors[0])
        message = "no model may be asked at the moment"
        wait_s = min(self.waits_s) if self.waits_s else None
        return UpstreamError("unavailable", message, retry_after_s=wait_s)


class Chooser:
    """Chooses among `deployments`; `cooling` may be exchanged before the first request."""

    def __init__(self, deployments: Sequence[Deployment], on_withheld: WithheldCallback) -> None:
        self.cooling: Cooling = MemoryCooling()
        self._deployments = deployments
        self._on_withheld = on_withheld
        self._retries = RetryBudget()

    def asked(self) -> None:
        """Note that a request has come, which pays for a part of a retry."""
        self._retries.asked(loop_s())

    async def next(self, turn: Turn) -> Deployment | None:
        """Return whom to ask next, None when nobody may be asked any more."""
        chosen = await self.untried(turn) or self._same_again(turn)
        if chosen is not None and turn.calls and not chosen.is_fallback:
            return self._pay_for(chosen, turn)
        return chosen

    async def untried(self, turn: Turn) -> Deployment | None:
        """Return the first deployment that was not tried and may be asked."""
        resting = await self.cooling.left([one.label for one in self._deployments])
        now = loop_s()
        for one in self._deployments:
            if one.label in turn.tried:
                continue
            if one.is_fallback:
                return one
            if turn.fallback_only or turn.calls >= MAX_CALLS:
                continue
            wait_s = max(one.wait_s(now), resting.get(one.label, 0.0))
            if wait_s <= 0:
                return one
            turn.tried.add(one.label)
            turn.waits_s.append(wait_s)
            self._on_withheld(one.label, "cooling" if one.label in resting else "breaker")
        return None

    def _same_again(self, turn: Turn) -> Deployment | None:
        """Return the only model of the chain for a second try, if that has a point."""
        [only, *others] = self._deployments
        if others or turn.calls != 1 or turn.fallback_only or only.wait_s(loop_s()) > 0:
            return None
        error = turn.errors[-1]
        may_pass = error.kind in RETRIED_ALONE or turn.has_text
        return only if may_pass and error.retry_after_s is None else None

    def _pay_for(self, chosen: Deployment, turn: Turn) -> Deployment | None:
        """Return `chosen` if the budget for retries allows it, else a fallback."""
        if self._retries.take(loop_s()):
            return chosen
        self._on_withheld(chosen.label, "retry_budget")
        spare = [one for one in self._deployments if one.is_fallback]
        return next((one for one in spare if one.label not in turn.tried), None)
