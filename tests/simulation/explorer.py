"""Runs a scenario under many seeds, and says how to run it again under the one that failed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import secrets
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any
from unittest import mock

import structlog
from simulated_loop import SimulatedLoop, SimulationError
from simulated_places import PLACE

SEEDS_VARIABLE = "MANICULE_TEST_SEEDS"
"""How many seeds each scenario is run under (`20000`), or which ones (`17:18`)."""

GIVEN_SEEDS = os.environ.get(SEEDS_VARIABLE, "")

WALL_START_S = 1_795_255_200.0
"""2026-11-21 10:00 UTC, when every run begins."""

Scenario = Callable[[int], Coroutine[Any, Any, None]]


class FailingSeedError(AssertionError):
    """A scenario failed under a seed."""


def simulate(main: Scenario, seed: int) -> int:
    """Run `main(seed)` in a world of its own; return the digest of its schedule.

    Raises what `main` raises, and `SimulationError` for what it left behind: an error logged or
    given to the loop, a task that died and nobody asked why.
    """
    return Context().run(_simulate, main, seed)  # whatever variables the caller has set


def _simulate(main: Scenario, seed: int) -> int:
    loop = SimulatedLoop(seed)
    collecting = gc.isenabled()
    gc.disable()  # finalisers run when the last reference goes, and at no other moment
    try:
        with _seeded(loop, seed), structlog.testing.capture_logs() as logs:
            try:
                _run(loop, main(seed))
                steps, digest = loop.steps, loop.digest
                complaints = [*loop.complaints, *_left_behind(loop), *_errors(loop, logs)]
                if complaints:
                    raise SimulationError("\n".join([*complaints, loop.describe()]))
            finally:
                loop.bury()
        return hash((steps, digest))
    finally:
        loop.close()
        if collecting:
            gc.enable()


def _run(loop: SimulatedLoop, work: Coroutine[Any, Any, None]) -> None:
    try:
        loop.run_until_complete(work)
    except SimulationError:
        raise
    except BaseException as error:
        error.add_note(loop.describe())
        raise


def _left_behind(loop: SimulatedLoop) -> list[str]:
    return [
        f"task {task.get_name()} died unnoticed: {task.exception()!r}"
        for task in loop.tasks
        if task.done() and not task.cancelled() and task._log_traceback
    ]


def _errors(loop: SimulatedLoop, logs: list[dict[str, Any]]) -> list[str]:
    return [
        f"logged: {line}"
        for line in logs
        if line["log_level"] in ("error", "critical") and line["event"] not in loop.expected
    ]


@contextlib.contextmanager
def _seeded(loop: SimulatedLoop, seed: int) -> Iterator[None]:
    """Let clocks and dice that the product takes by itself be those of the run."""
    dice = random.Random(f"names {seed}")
    before = random.getstate()
    random.seed(f"module {seed}")
    patches = {
        (time, "monotonic"): lambda: loop.time() + PLACE.get().booted_s,
        (time, "time"): lambda: WALL_START_S + loop.time() + PLACE.get().skew_s,
        (secrets, "token_hex"): lambda size=16: dice.randbytes(size).hex(),
        (secrets, "token_bytes"): lambda size=16: dice.randbytes(size),
        (uuid, "uuid4"): lambda: uuid.UUID(bytes=dice.randbytes(16), version=4),
    }
    with contextlib.ExitStack() as stack:
        for (module, name), replacement in patches.items():
            stack.enter_context(mock.patch.object(module, name, replacement))
        try:
            yield
        finally:
            random.setstate(before)


def seeds(default: int) -> range:
    """The seeds to run under: as many as the scenario says, or as the environment does."""
    first, _, last = GIVEN_SEEDS.rpartition(":")
    if not GIVEN_SEEDS:
        return range(default)
    return range(int(first or 0), int(last))


class Explorer:
    """Runs scenarios of one test, whose pytest id is `test_id`."""

    def __init__(self, test_id: str) -> None:
        self._test_id = test_id

    def __call__(self, scenario: Scenario, runs: int = 25) -> None:
        """Run under `runs` seeds; the first that fails ends the test with how to replay it."""
        for seed in seeds(runs):
            try:
                simulate(scenario, seed)
            except (Exception, asyncio.CancelledError) as error:
                raise FailingSeedError(self._advice(seed, error)) from error

    def finds(self, scenario: Scenario, within: int) -> int:
        """The first seed under which a scenario with a mistake in it fails; fails if none does."""
        for seed in range(within):
            try:
                simulate(scenario, seed)
            except (AssertionError, SimulationError, TimeoutError):
                return seed
        raise AssertionError(f"{within} seeds did not show the mistake")

    def _advice(self, seed: int, error: BaseException) -> str:
        return (
            f"seed {seed} fails: {error!r:.2000}\n"
            f"replay it with\n"
            f"  {SEEDS_VARIABLE}={seed}:{seed + 1} python -m pytest '{self._test_id}'"
        )
