"""A model's server that speaks the documented bytes of Gemini and OpenAI and fails as told.

Raw asyncio streams and no framework, so that a test decides every byte: where the stream is cut,
reset, stalled, compressed or broken. Used in tests as `async with Upstream(Plan(...)) as upstream`,
and as a program for benchmarks: `python tests/fakes/upstream.py --port 0 --rate 50`, which prints
its address as the first line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import itertools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from upstream_bytes import TEXTS, Dialect, OpenAIBytes, Plan, dialect_of

__all__ = ["TEXTS", "Plan", "Seen", "Upstream"]


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Upstream:
    """Serves on loopback. `plans` are used one per streaming request, the last one for the rest."""

    def __init__(self, *plans: Plan, host: str = "127.0.0.1", port: int = 0) -> None:
        self._plans = list(plans) or [Plan()]
        self._address = (host, port)
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[Seen] = []
        self.asked = asyncio.Event()  # a request has come
        self.started = asyncio.Event()  # the first byte of an answer is on its way
        self.left = asyncio.Event()  # a client closed before its answer was over
        self.texts_sent = 0

    async def __aenter__(self) -> Upstream:
        host, port = self._address
        self._server = await asyncio.start_server(self._accept, host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def wait_for_nobody(self) -> None:
        """Return when no client is connected."""
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The next request is read while this one is answered: that is how a close is noticed.
        coming = asyncio.create_task(_read_request(reader))
        try:
            while (seen := await coming) is not None:
                self.requests.append(seen)
                self.asked.set()
                coming = asyncio.create_task(_read_request(reader))
                if not await self._respond(seen, coming, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            coming.cancel()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _respond(
        self, seen: Seen, coming: asyncio.Task[Seen | None], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; whether the connection can serve another."""
        if seen.method == "GET":
            plan = replace(self._plans[0], raw=b"{}", slice_bytes=0)
            dialect = OpenAIBytes()
        else:
            plan = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
            dialect = dialect_of(seen.path)
        answering = asyncio.create_task(self._answer(plan, dialect, writer))
        try:
            await asyncio.wait({answering, coming}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and (coming.exception() or coming.result() is None):
                self.left.set()
                return False
            return await answering
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _answer(self, plan: Plan, dialect: Dialect, writer: asyncio.StreamWriter) -> bool:
        if plan.silent:
            await asyncio.Event().wait()
        headers = {"content-type": dialect.content_type, **plan.headers}
        if plan.gzip_bytes:
            headers["content-encoding"] = "gzip"
        if plan.status != 200:
            body = json.dumps({"error": {"message": "SECRET-BODY", "code": plan.status}}).encode()
            writer.write(_head(plan.status, headers | {"content-length": str(len(body))}) + body)
            await writer.drain()
            return True
        writer.write(_head(200, headers | {"transfer-encoding": "chunked"}))
        self.started.set()
        async for piece in self._body(plan, dialect):
            if piece is None:
                _reset(writer)
                return False
            for data in _sliced(piece, plan.slice_bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                if plan.slice_bytes:
                    await writer.drain()
                    await asyncio.sleep(plan.slice_s)
            await writer.drain()
            if plan.endless and not plan.rate_per_s:
                await asyncio.sleep(0)  # drain never waits for a thread that reads as fast
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _body(self, plan: Plan, dialect: Dialect) -> AsyncIterator[bytes | None]:
        """The bytes of the body, None for a reset."""
        if plan.gzip_bytes:
            for piece in _bomb(plan.gzip_bytes):
                yield piece
            return
        if plan.raw is not None:
            yield plan.raw
            return
        await asyncio.sleep(plan.first_token_s)
        due = asyncio.get_running_loop().time()
        texts = itertools.cycle(plan.texts) if plan.endless else iter(plan.texts)
        for sent, text in enumerate(itertools.chain(texts, [None])):
            if plan.stall_after == sent:
                await asyncio.Event().wait()
            if plan.reset_after == sent:
                # What was written must arrive before the reset drops it.
                await asyncio.sleep(0.05)
                yield None
                return
            if plan.cut_after == sent:
                return
            if plan.error_after == sent:
                yield plan.noise + dialect.error(plan)
                return
            if text is None:
                break
            if plan.rate_per_s:
                due += 1 / plan.rate_per_s
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            yield plan.noise + dialect.text(plan, text)
            self.texts_sent += 1
        yield plan.noise + dialect.end(plan)
        if plan.linger:
            await asyncio.Event().wait()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, json.loads(body) if body else None)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _sliced(data: bytes, size: int) -> list[bytes]:
    size = size or len(data) or 1
    return [data[start : start + size] for start in range(0, len(data), size)]


def _bomb(size: int) -> list[bytes]:
    """A compressed event stream of `size` bytes, cheap to make and dear to inflate."""
    block = 2**20
    member = gzip.compress(b": " + b"a" * (block - 3) + b"\n", 9)
    return [member * 64] * (size // block // 64)


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second, 0 for no pace")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--text", default="word ", help="one token's text")
    parser.add_argument("--first-token-ms", type=float, default=0.0)
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--stall-after", type=int)
    parser.add_argument("--reset-after", type=int)
    parser.add_argument("--error-after", type=int)
    parser.add_argument("--slice-bytes", type=int, default=0)
    parser.add_argument("--slice-ms", type=float, default=0.0)
    options = parser.parse_args()
    plan = Plan(
        texts=[options.text] * options.tokens,
        usage=(100, options.tokens, 0),
        rate_per_s=options.rate,
        first_token_s=options.first_token_ms / 1000,
        status=options.status,
        stall_after=options.stall_after,
        reset_after=options.reset_after,
        error_after=options.error_after,
        slice_bytes=options.slice_bytes,
        slice_s=options.slice_ms / 1000,
    )
    async with Upstream(plan, host=options.host, port=options.port) as upstream:
        print(upstream.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
