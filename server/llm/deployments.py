"""A model of the chain with what is known of its health in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from server.llm.breaker import Breaker, BreakerState, Permit
from server.llm.cooling import MAX_COOLING_S
from server.llm.port import Model, UpstreamError

log = structlog.get_logger("manicule")

StateCallback = Callable[[str, BreakerState], None]

SICK_STATUSES = frozenset({401, 402, 403, 404})
"""Refusals that every other request would meet too: a wrong key, no credit, no such model. Others
are about one request, and one client's requests must not close a model to everybody."""


def says_of_the_model(error: UpstreamError) -> bool:
    """Whether a failure tells how the next call would fare."""
    if error.kind == "rate_limited":
        return not error.retry_after_s  # with a time to wait, that is what is kept
    return error.kind in ("connect", "timeout", "server") or error.status in SICK_STATUSES


def cooling_s(error: UpstreamError) -> float:
    """Seconds that a failed model wants to be left alone; 0 when it did not say."""
    return min(error.retry_after_s or 0.0, MAX_COOLING_S)


class Deployment:
    """One place in the chain. `label` tells places with the same model apart.

    Calls go `begin`, then exactly one of `answered`, `failed` and `left`; `failed` may follow
    `answered`. `on_state(label, state)` is called for each change of the breaker's state.
    """

    def __init__(
        self, model: Model, label: str, *, fallback: bool, on_state: StateCallback
    ) -> None:
        self.model = model
        self.label = label
        self.is_fallback = fallback
        self._breaker = Breaker()
        self._on_state = on_state
        on_state(label, self._breaker.state)

    @property
    def state(self) -> BreakerState:
        """The breaker's state."""
        return self._breaker.state

    def wait_s(self, now: float) -> float:
        """Seconds until a call may go; 0 when one may now."""
        return self._breaker.wait_s(now)

    def begin(self, now: float) -> Permit:
        """Note that a call begins."""
        before = self.state
        permit = self._breaker.begin(now)
        self._tell(before)
        return permit

    def answered(self, permit: Permit, now: float) -> None:
        """The call has given its first event."""
        before = self.state
        self._breaker.answered(permit, now)
        self._tell(before)

    def failed(self, permit: Permit, error: UpstreamError, now: float) -> None:
        """The call has failed."""
        before = self.state
        if says_of_the_model(error):
            self._breaker.failed(permit, now)
        else:
            self._breaker.left(permit)
        self._tell(before)

    def left(self, permit: Permit) -> None:
        """The call was closed before its outcome was known."""
        before = self.state
        self._breaker.left(permit)
        self._tell(before)

    def _tell(self, before: BreakerState) -> None:
        if self.state is not before:
            log.info("model_breaker", model=self.label, state=self.state.value)
            self._on_state(self.label, self.state)


def deploy(models: Sequence[Model], on_state: StateCallback) -> tuple[Deployment, ...]:
    """Give each model its place; the second of the same name is labelled `NAME#2`."""
    if not models:
        raise ValueError("a chain needs a model")
    placed: list[Deployment] = []
    for index, model in enumerate(models):
        same = sum(one.name == model.name for one in models[:index])
        label = f"{model.name}#{same + 1}" if same else model.name
        fallback = index > 0 and model.name == "extractive"
        placed.append(Deployment(model, label, fallback=fallback, on_state=on_state))
    return tuple(placed)
