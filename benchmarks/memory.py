"""What sockets and running answers cost one server process in memory, and what churn leaves.

Idle sockets are compared with a bare Starlette application on uvicorn that echoes. Memory is what
the kernel says of the process; the base is taken after a first few sockets, so that what is
loaded once is not counted. Server on core 0, clients on core 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from benchmarks.arguments import Arguments
from benchmarks.churn import FILLED_SOCKETS, MIN_SAMPLES, PRODUCT, Churned, churn
from benchmarks.harness import launched, server_process
from benchmarks.lean_sockets import LeanSocket, allow_sockets, close_sockets, open_sockets
from benchmarks.processes import MemoryKiB, memory_of
from benchmarks.results import Bars, Measure, Result, refused
from benchmarks.tables import publish

OURS, BARE = "manicule", "bare Starlette on uvicorn"
WARM_UP = 50
WORDS_PER_S = 50
ANSWER_S = 8.0
"""Into its answer a running one is weighed: its frames so far are kept, so it grows."""

IDLE_GOAL_KIB = 40.0
CHURN_GOAL_KIB = 10.0
"""Per 1,000 sockets: 10 bytes each, less than the smallest object that could be forgotten."""

SETTLE_S = 3.0
"""After the warm-up, and after the first answer: what is loaded once is loaded by then."""

IDLE, RUNNING = "idle sockets", "running answers"
COME_AND_GO, COME_AND_ASK = "connect, close", "connect, ask, close"
SERVER_CORE, LOAD_CORE = 0, 1


def manicule(
    script: list[dict[str, object]], **settings: str
) -> AbstractContextManager[tuple[str, int]]:
    """Start a server whose limits are none to one machine's clients."""
    wide = {
        "max_connections": "20000",
        "connections_per_address": "20000",
        "handshakes_per_minute": "1000000",
        "requests_per_minute": "1000000",
        "user_requests_per_minute": "0",
        "max_running_answers": "20000",
        "max_responses_per_client": "20000",
        "model_concurrency": "20000",
        "log_level": "warning",
        "drain_s": "1",  # nobody waits for what still runs at the end
    }
    return server_process(
        f"scripted:{json.dumps(script)}", core=SERVER_CORE, **{**wide, **settings}
    )


@contextmanager
def bare() -> Iterator[tuple[str, int]]:
    """Start the application that is compared with."""
    command = [sys.executable, "-m", "benchmarks.bare_echo"]
    with launched(command, r"http://[\d.]+:\d+", SERVER_CORE) as (address, pid):
        yield address.replace("http", "ws", 1) + "/ws", pid


async def warm_up(url: str) -> None:
    """Let the server load what it loads once."""
    await close_sockets(await open_sockets(url, WARM_UP))
    await asyncio.sleep(SETTLE_S)


async def weigh_idle(url: str, pid: int, number: int, settle_s: float) -> MemoryKiB:
    """Return what `number` sockets added."""
    await warm_up(url)
    before = memory_of(pid)
    sockets = await open_sockets(url, number)
    await asyncio.sleep(settle_s)
    added = memory_of(pid).minus(before)
    assert_open(sockets)
    await close_sockets(sockets, 60.0)
    return added


async def weigh_running(url: str, pid: int, number: int) -> MemoryKiB:
    """Return what `number` answers added to as many sockets."""
    await warm_up(url)
    begun, all_begun = [0], asyncio.Event()

    def look(payload: bytes) -> None:
        begun[0] += b'"response.created"' in payload
        if begun[0] > number:
            all_begun.set()

    sockets = await open_sockets(url, number, look)
    sockets[0].send(question(-1))
    await asyncio.sleep(SETTLE_S)
    before = memory_of(pid)
    for at, socket in enumerate(sockets):
        socket.send(question(at))
    asked = time.monotonic()
    async with asyncio.timeout(ANSWER_S):
        await all_begun.wait()
    await asyncio.sleep(asked + ANSWER_S - time.monotonic())
    added = memory_of(pid).minus(before)
    assert_open(sockets)
    return added


def question(number: int) -> dict[str, object]:
    """Return a question of its own, so that no answer is shared."""
    text = f"How do I change the battery of unit {number}?"
    return {"type": "response.create", "product_id": PRODUCT, "input": text}


def assert_open(sockets: Sequence[LeanSocket]) -> None:
    """End the program when the server has closed any."""
    lost = sum(socket.ended.done() for socket in sockets)
    if lost:
        raise SystemExit(f"the server closed {lost} of {len(sockets)} sockets")


def weigh_all(result: Result, options: Namespace) -> None:
    """Add the rows of idle sockets, of both servers, and those of running answers."""
    for name in (BARE, OURS):
        runs = []
        for _ in range(options.runs):
            with bare() if name == BARE else manicule([{"text": "Yes."}]) as (url, pid):
                runs.append(asyncio.run(weigh_idle(url, pid, options.idle, options.settle)))
        add_weights(result, name, IDLE, options.idle, runs)
    script: list[dict[str, object]] = [{"tokens": 100 * WORDS_PER_S, "rate_per_s": WORDS_PER_S}]
    for number in options.running:
        runs = []
        for _ in range(options.runs):
            with manicule(script) as (url, pid):
                runs.append(asyncio.run(weigh_running(url, pid, number)))
        add_weights(result, OURS, RUNNING, number, runs)


def add_weights(
    result: Result, name: str, group: str, number: int, runs: Sequence[MemoryKiB]
) -> None:
    """Add one row: each run's KiB per socket or answer."""
    result.add(
        name,
        group=group,
        x=number,
        baseline=name == BARE,
        rss=[one.rss / number for one in runs],
        pss=[one.pss / number for one in runs],
        uss=[one.uss / number for one in runs],
    )


def churn_all(result: Result, minutes: float) -> None:
    """Add the rows of sockets that come and go.

    What is kept on purpose is bounded low: a cache that fills up is no leak.
    """
    small = {"resume_memory_bytes": "1000000", "answer_cache_bytes": "1000000"}
    script: list[dict[str, object]] = [{"tokens": 40, "rate_per_s": 2000}]
    with bare() as (url, pid):
        seen = asyncio.run(churn(url, pid, minutes, asking=False))
    add_churn(result, BARE, COME_AND_GO, seen)
    for group, asking in ((COME_AND_GO, False), (COME_AND_ASK, True)):
        with manicule(script, **small) as (url, pid):
            seen = asyncio.run(churn(url, pid, minutes, asking=asking))
        add_churn(result, OURS, group, seen)


def add_churn(result: Result, name: str, group: str, seen: Churned) -> None:
    """Add one row."""
    few = refused(f"fewer than {FILLED_SOCKETS:,} sockets and {MIN_SAMPLES} samples after them")
    sockets, minutes = seen.per_thousand, seen.per_minute
    result.add(
        name,
        group=group,
        baseline=name == BARE,
        sockets=seen.sockets[-1],
        rss=seen.rss_kib[-1] / 1024,
        socket_slope=sockets.rise if sockets else few,
        socket_error=sockets.error if sockets else few,
        minute_slope=minutes.rise if minutes else few,
        minute_error=minutes.error if minutes else few,
        files=seen.files[len(seen.files) // 2 :],
    )


def memory_result(options: Namespace) -> Result:
    """Return the empty result for weights."""
    result = Result(
        "memory",
        "Memory of one process",
        "What does a socket that waits cost, and what a running answer?",
        [
            Measure("rss", "resident", "KiB", ratio=True),
            Measure("pss", "proportional", "KiB"),
            Measure("uss", "its own", "KiB"),
        ],
        x="at once",
        quick=options.quick,
    )
    result.notes.append(f"Running answers: {ANSWER_S:g} s into one at {WORDS_PER_S} words/s.")
    result.plots.append(Bars("rss"))
    result.figure(
        f"an idle socket, {options.idle:,} open", OURS, "rss",
        group=IDLE, x=options.idle, at_most=IDLE_GOAL_KIB,
    )  # fmt: skip
    for number in options.running:
        result.figure(f"a running answer, {number:,} at once", OURS, "rss", group=RUNNING, x=number)
    return result


def churn_result(options: Namespace) -> Result:
    """Return the empty result for slopes."""
    result = Result(
        "churn",
        "Sockets that come and go",
        "Does memory grow with the sockets that were open once?",
        [
            Measure("sockets", "sockets"),
            Measure("rss", "resident at the end", "MiB"),
            Measure("socket_slope", "slope", "KiB / 1,000 sockets"),
            Measure("socket_error", "its error", "±"),
            Measure("minute_slope", "slope", "KiB / min"),
            Measure("minute_error", "its error", "±"),
            Measure("files", "descriptors"),
        ],
        quick=options.quick,
    )
    result.notes.append(
        f"{options.churn_minutes:g} minutes each; lines of least squares through the second half, "
        f"from {FILLED_SOCKETS:,} sockets on: what is bounded in entries is full by then."
    )
    result.plots.append(Bars("socket_slope"))
    for group in (COME_AND_GO, COME_AND_ASK):
        result.figure(f"growth, {group}", OURS, "socket_slope", group=group, at_most=CHURN_GOAL_KIB)
    return result


def main() -> None:
    arguments = Arguments("memory", __doc__)
    arguments.size("--idle", 10_000, 2000, "idle sockets")
    arguments.size("--running", [200, 500, 1000], [200], "running answers")
    arguments.size("--churn-minutes", 5.0, 0.5, "of each kind; 60 shows slow leaks")
    arguments.size("--runs", 2, 1, "of each weight")
    arguments.size("--settle", 15.0, 5.0, "seconds before sockets are weighed")
    arguments.add_argument("--only", choices=("memory", "churn"))
    options = arguments.parse_args()
    allow_sockets(max(options.idle, *options.running))
    os.sched_setaffinity(0, {LOAD_CORE})
    if options.only != "churn":
        result = memory_result(options)
        weigh_all(result, options)
        publish(result)
    if options.only != "memory":
        result = churn_result(options)
        churn_all(result, options.churn_minutes)
        publish(result)


if __name__ == "__main__":
    main()
