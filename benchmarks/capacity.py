"""What a connection and a running answer cost one server process: memory and processor time.

Sockets are opened, then each asks a question of its own whose answer comes at 50 words a second.
Memory and processor time are those that the server reports of itself, so that what else runs on
the machine does not count. Ends by itself in less than a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack

import httpx
import websockets

from benchmarks.harness import connect, print_table, server

WORDS_PER_S = 50
SETTLE_S = 2.0
MEASURE_S = 8.0
PRODUCT = "orrinfeld-od-12"


async def facts(http: httpx.AsyncClient) -> dict[str, float]:
    """Return the samples of /metrics without labels, and the loop's histogram."""
    text = (await http.get("/metrics")).text
    found = re.findall(r'^([a-z_]+(?:\{le="[^"]+"\})?) ([\d.e+-]+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def lateness(before: dict[str, float], after: dict[str, float], share: float) -> str:
    """Return the bucket of the loop's lateness below which `share` of the looks lie."""
    name = "manicule_event_loop_lag_seconds_bucket"
    edges = [key for key in after if key.startswith(name)]
    counts = [after[edge] - before.get(edge, 0.0) for edge in edges]
    for edge, count in zip(edges, counts, strict=True):
        if count >= share * counts[-1]:
            bound = edge.partition('"')[2].partition('"')[0]
            return "over 5 s" if bound == "+Inf" else f"<= {float(bound) * 1000:g} ms"
    return "unknown"


async def read_on(socket: websockets.ClientConnection) -> None:
    async for _ in socket:
        pass


async def measure(url: str, number: int) -> list[str]:
    """Return the row of one number of clients."""
    base = url.replace("ws", "http", 1).removesuffix("/ws")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, trust_env=False))
        empty = await facts(http)
        sockets = [await stack.enter_async_context(connect(url)) for _ in range(number)]
        await asyncio.sleep(SETTLE_S)
        idle = await facts(http)
        readers = [asyncio.create_task(read_on(socket)) for socket in sockets]
        for at, socket in enumerate(sockets):
            question = f"How do I change the battery of unit {number}-{at}?"
            event = {"type": "response.create", "product_id": PRODUCT, "input": question}
            await socket.send(json.dumps(event))
        await asyncio.sleep(SETTLE_S)
        before = await facts(http)
        await asyncio.sleep(MEASURE_S)
        after = await facts(http)
        running = after["manicule_answers_running"]
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return list(row(number, running, empty, idle, before, after))


def row(
    number: int,
    running: float,
    empty: dict[str, float],
    idle: dict[str, float],
    before: dict[str, float],
    after: dict[str, float],
) -> Iterable[str]:
    """Yield the columns of the table."""
    rss, cpu = "process_resident_memory_bytes", "process_cpu_seconds_total"
    yield str(number)
    yield str(int(running))
    yield f"{(idle[rss] - empty[rss]) / number / 1024:.0f} KiB"
    yield f"{(after[rss] - idle[rss]) / number / 1024:.0f} KiB"
    yield f"{(after[cpu] - before[cpu]) / MEASURE_S / number * 1000:.2f} ms"
    yield lateness(before, after, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=[100, 200, 400])
    numbers = parser.parse_args().clients
    words = int(WORDS_PER_S * (MEASURE_S + 3 * SETTLE_S))
    script = json.dumps([{"tokens": words, "rate_per_s": WORDS_PER_S}])
    rows = []
    for number in numbers:
        with server(f"scripted:{script}", max_running_answers="100000") as url:
            rows.append(asyncio.run(measure(url, number)))
    columns = ("clients", "running", "idle socket", "running answer", "CPU a second", "loop p99")
    print_table(f"Cost of clients, answers at {WORDS_PER_S} words/s", columns, rows)


if __name__ == "__main__":
    main()
