"""What it takes to go on with an answer on another node, and what keeping a log of it costs.

Two nodes share a log on a real Redis. Resumed on the other node is compared with resumed on the
node that writes and with asking anew; a server with a log with one without, under the same load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis
import websockets

from benchmarks.arguments import Arguments
from benchmarks.harness import ROOT, connect, percentile
from benchmarks.results import Bars, Measure, Result
from benchmarks.services import redis_log
from benchmarks.tables import publish

RATE = 50
ANEW, ELSEWHERE, LOGGED = "asked anew, first delta", "on the other node", "with a log"
GOING_ON, COST = "resumed", "cost"
PATIENCE_S = 30.0
DELTA = "response.output_text.delta"
_numbers = itertools.count()
ENDS = ("response.completed", "response.failed", "response.incomplete", "response.cancelled")


@dataclass
class Node:
    """One server process and where it listens."""

    process: subprocess.Popen[str]
    url: str

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def node(log_url: str, script: str) -> Iterator[Node]:
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            "MANICULE_LOG_URL": log_url,
            "MANICULE_SECRET_KEY": "benchmark" * 4,
            "MANICULE_MODEL": f"scripted:{script}",
            "MANICULE_REQUESTS_PER_MINUTE": "1000000",
            "MANICULE_MAX_CONCURRENT_RESPONSES": "1000",
            "MANICULE_MAX_RESPONSES_PER_CLIENT": "100000",
            "MANICULE_MODEL_CONCURRENCY": "10000",
            "MANICULE_WARM_MANUALS": "1",
            "MANICULE_DATA_DIR": folder,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "server", "serve", "--port", "0"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "http://" in line:
                    address = line[line.index("http://") :].split()[0].rstrip('"},')
                    yield Node(process, address.replace("http", "ws", 1) + "/ws")
                    return
            raise SystemExit("a server did not start")
        finally:
            process.kill()
            process.wait()


@dataclass
class Reader:
    """One answer as a client has it: where it is, and when what came."""

    socket: websockets.ClientConnection
    id: str = ""
    position: tuple[int, int] = (1, -1)
    chars: int = 0
    times: dict[str, float] = field(default_factory=dict)

    async def ask(self, product_id: str) -> None:
        """Ask a question that nobody has asked."""
        number = next(_numbers)
        event = {
            "type": "response.create",
            "product_id": product_id,
            "input": f"How do I clean part {number} of it?",
        }
        self.times["asked"] = time.perf_counter()
        await self.socket.send(json.dumps(event))

    async def resume(self, other: Reader) -> None:
        """Go on where another reader stopped."""
        epoch, number = other.position
        self.id, self.position = other.id, other.position
        self.times["asked"] = time.perf_counter()
        await self.socket.send(
            json.dumps(
                {
                    "type": "response.resume",
                    "response_id": self.id,
                    "epoch": epoch,
                    "starting_after": number,
                }
            )
        )

    async def until(self, *kinds: str, deltas: int = 1) -> str:
        """Read on to the first event of these kinds; return it."""
        while True:
            async with asyncio.timeout(PATIENCE_S):
                event = json.loads(await self.socket.recv())
            kind = event["type"]
            if kind == "error" or event.get("recovered") is False:
                raise SystemExit(f"the server refused: {event}")
            if "sequence_number" in event:
                position = (event["epoch"], event["sequence_number"])
                if position <= self.position:
                    raise SystemExit(f"{kind} at {position} came after {self.position}")
                self.position, self.id = position, event["response_id"]
                self.chars += len(event.get("delta", ""))
            self.times.setdefault(kind, time.perf_counter())
            if kind in kinds:
                deltas -= 1
                if deltas <= 0:
                    return kind


def in_ms(seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: percentile(seconds, share) * 1000
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


async def first_product(url: str) -> str:
    async with connect(url) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "catalog.search", "query": "a"}))
        return str(json.loads(await socket.recv())["products"][0]["id"])


@contextlib.asynccontextmanager
async def readers(url: str, number: int):
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for _ in range(number):
            socket = await stack.enter_async_context(connect(url))
            await socket.recv()
            opened.append(Reader(socket))
        yield opened


async def measure_resume(result: Result, one: Node, two: Node, streams: int) -> None:
    """Time from the request to the first event after it, in three ways."""
    product = await first_product(one.url)
    async with readers(two.url, streams) as anew:
        for reader in anew:
            await reader.ask(product)
        await asyncio.gather(*(r.until(DELTA, deltas=6) for r in anew))
        took = [reader.times[DELTA] - reader.times["asked"] for reader in anew]
    note = "all at once, without what was read"
    result.add(ANEW, group=GOING_ON, baseline=True, note=note, **in_ms(took))
    for name, target in ((ELSEWHERE, two), ("on the node that writes it", one)):
        async with readers(one.url, streams) as first, readers(target.url, streams) as second:
            await asyncio.gather(*(r.ask(product) for r in first))
            await asyncio.gather(*(r.until(DELTA, deltas=5) for r in first))
            for reader in first:
                await reader.socket.close()
            took = []
            for old, new in zip(first, second, strict=True):
                await new.resume(old)
                await new.until(DELTA)
                took.append(new.times[DELTA] - new.times["asked"])
            ends = await asyncio.gather(*(r.until(*ENDS) for r in second))
        whole = f"{ends.count(ENDS[0])} of {streams} whole"
        result.add(name, group=GOING_ON, note=whole, **in_ms(took))


async def measure_kill(result: Result, log_url: str, script: str, streams: int) -> None:
    """Time from kill -9 of the writing node until its answers go on elsewhere."""
    with node(log_url, script) as one, node(log_url, script) as two:
        product = await first_product(one.url)
        async with readers(one.url, streams) as first, readers(two.url, streams) as second:
            await asyncio.gather(*(r.ask(product) for r in first))
            await asyncio.gather(*(r.until(DELTA, deltas=5) for r in first))
            one.process.send_signal(signal.SIGKILL)
            killed = time.perf_counter()
            await asyncio.gather(*(new.resume(old) for old, new in zip(first, second, strict=True)))
            await asyncio.gather(*(r.until("response.attempt.started") for r in second))
            took = [r.times["response.attempt.started"] - killed for r in second]
            ends = await asyncio.gather(*(r.until(*ENDS) for r in second))
    whole = f"{ends.count(ENDS[0])} of {streams} whole, all going on after {max(took):.1f} s"
    result.add("elsewhere", group="after kill -9 of the node", note=whole, **in_ms(took))


async def measure_cost(result: Result, log_url: str, streams: int, rounds: int) -> None:
    """Processor time of the server for a token, with a log and without, by turns."""
    tokens = RATE * 4
    script = json.dumps([{"tokens": tokens, "rate_per_s": RATE}])
    used: dict[str, list[float]] = {"": [], log_url: []}
    for _ in range(rounds):
        for url, found in used.items():
            with node(url, script) as server:
                product = await first_product(server.url)
                async with readers(server.url, streams) as opened:
                    before = server.cpu_s
                    await asyncio.gather(*(r.ask(product) for r in opened))
                    await asyncio.gather(*(r.until(*ENDS) for r in opened))
                    found.append((server.cpu_s - before) / (streams * tokens) * 1e6)
    result.add("without a log", group=COST, baseline=True, us=used[""])
    result.add(LOGGED, group=COST, us=used[log_url])


def measure_bytes(result: Result, url: str) -> None:
    """Memory of the streams that the runs left in Redis."""
    with redis.Redis.from_url(url) as client:
        keys = list(itertools.islice(client.scan_iter("manicule:answer:*"), 50))
        sizes = [client.memory_usage(key, samples=0) for key in keys]
    note = f"the median of {len(sizes)} answers of {RATE * 6} words"
    kib = statistics.median(sizes) / 1024
    result.add("one answer in Redis", group="memory", kib=kib, note=note)


async def measure(result: Result, options: argparse.Namespace) -> None:
    script = json.dumps([{"tokens": RATE * 6, "rate_per_s": RATE}])
    with redis_log() as port:
        url = f"redis://127.0.0.1:{port}/0"
        with node(url, script) as one, node(url, script) as two:
            await measure_resume(result, one, two, options.streams)
        await measure_kill(result, url, script, options.streams)
        measure_bytes(result, url)
        await measure_cost(result, url, options.streams, options.rounds)


def main() -> None:
    arguments = Arguments("resume", __doc__)
    arguments.size("--streams", 200, 20, "answers at a time")
    arguments.size("--rounds", 3, 1, "rounds of the cost")
    options = arguments.parse_args()
    result = Result(
        "resume",
        f"Going on elsewhere, {options.streams} answers at {RATE} words/s",
        "How soon does an answer go on at another node, and what does its log cost?",
        [
            Measure("p50", "p50", "ms", ratio=True),
            Measure("p95", "p95", "ms"),
            Measure("p99", "p99", "ms"),
            Measure("us", "server time a token", "µs", ratio=True),
            Measure("kib", "memory", "KiB"),
        ],
        quick=options.quick,
    )
    asyncio.run(measure(result, options))
    result.figure("going on at another node", ELSEWHERE, "p50", group=GOING_ON, ratio=True)
    result.figure("cost of a log", LOGGED, "us", group=COST, ratio=True)
    result.plots += [Bars("p50", log=True, groups=GOING_ON), Bars("us", groups=COST)]
    publish(result)


if __name__ == "__main__":
    main()
