"""How much later the first token comes through manicule than straight from the model.

The same model server is read twice in one run: by httpx directly, and through the socket, on a
manual that is already prepared. Questions differ, so that no answer comes from the cache. The
scripted model shows the server alone, without HTTP behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from benchmarks.harness import (
    ask,
    connect,
    pause_until,
    percentile,
    print_table,
    server,
    upstream,
)

QUESTIONS = (
    "How do I update the firmware?",
    "What does the warning light mean?",
    "How do I restore the factory settings?",
    "Which power supply do I need?",
)
_number = itertools.count()


def question() -> str:
    """Return a question that has not been asked before."""
    number = next(_number)
    return f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"


async def direct(address: str, streams: int, rounds: int, length_s: float) -> list[float]:
    """Read the model server itself; seconds to each first event.

    A client per stream, since a pool that many share slows down as it grows.
    """
    free = [httpx.AsyncClient(timeout=60, trust_env=False) for _ in range(streams)]
    clients = tuple(free)

    async def one() -> float:
        client = free.pop()
        started = time.perf_counter()
        first = None
        body = {"model": "m", "stream": True, "messages": []}
        async with client.stream("POST", f"{address}/v1/chat/completions", json=body) as reply:
            async for chunk in reply.aiter_raw():
                if first is None and b'"content"' in chunk:
                    first = time.perf_counter() - started
        free.append(client)
        assert first is not None
        return first

    try:
        return await spread(one, streams, rounds, length_s)
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def through(
    url: str, product_id: str, streams: int, rounds: int, length_s: float
) -> list[float]:
    """Ask over `streams` sockets; seconds to each first delta."""
    async with connect(url) as warm:
        await ask(warm, product_id, question())
    sockets = await asyncio.gather(*(connect(url) for _ in range(streams)))
    free = list(sockets)

    async def one() -> float:
        socket = free.pop()
        try:
            return await ask(socket, product_id, question())
        finally:
            free.append(socket)

    try:
        return await spread(one, streams, rounds, length_s)
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def spread(
    one: Callable[[], Awaitable[float]], streams: int, rounds: int, length_s: float
) -> list[float]:
    """Run `streams` workers of `rounds` asks, begun evenly over the length of an answer."""

    async def worker(index: int) -> list[float]:
        await pause_until(started + length_s * index / streams)
        return [await one() for _ in range(rounds)]

    started = time.perf_counter()
    results = await asyncio.gather(*(worker(index) for index in range(streams)))
    return [value for result in results for value in result]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 200], help="at once")
    parser.add_argument("--samples", type=int, default=400, help="answers per row, at least")
    parser.add_argument("--rate", type=float, default=20.0, help="tokens a second of one answer")
    parser.add_argument("--tokens", type=int, default=40, help="tokens of one answer")
    parser.add_argument("--product", default="orrinfeld-od-12", help="demo product asked about")
    options = parser.parse_args()

    rows: list[list[str]] = []
    for streams in options.streams:
        rate = options.rate if streams > 1 else options.rate * 5  # one stream takes its time
        pace = ["--rate", str(rate), "--tokens", str(options.tokens)]
        script = f'scripted:[{{"tokens": {options.tokens}, "rate_per_s": {rate}}}]'
        length_s = options.tokens / rate
        rounds = max(2, -(-options.samples // streams)) if streams > 1 else 40
        with upstream(*pace, core=1) as address:
            base = asyncio.run(direct(address, streams, rounds, length_s))
            with server(
                "openai:m",
                core=0,
                openai_base_url=f"{address}/v1",
                requests_per_minute="100000",
            ) as url:
                ours = asyncio.run(through(url, options.product, streams, rounds, length_s))
        with server(script, core=0, requests_per_minute="100000") as url:
            scripted = asyncio.run(through(url, options.product, streams, rounds, length_s))
        for name, values in (("httpx, direct", base), ("manicule", ours), ("scripted", scripted)):
            rows.append(
                [
                    f"{streams} streams, {name}",
                    str(len(values)),
                    *(f"{percentile(values, share) * 1000:.2f}" for share in (0.5, 0.99)),
                    *(
                        f"{(percentile(values, share) - percentile(base, share)) * 1000:+.2f}"
                        for share in (0.5, 0.99)
                    ),
                    f"{statistics.median(values) / statistics.median(base):.2f}",
                ]
            )
    print_table(
        "Time to the first token of a warm question, ms",
        ["", "answers", "p50", "p99", "p50 added", "p99 added", "ratio p50"],
        rows,
    )


if __name__ == "__main__":
    main()
