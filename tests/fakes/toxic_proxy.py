"""A TCP proxy on loopback that does to a connection what networks do.

`with Proxy(port) as proxy:` listens on `proxy.port` and forwards to `port`. It runs in a thread
with a loop of its own, so that a test may block. What happens to bytes is said by the values of
`toxics.py`, for one direction or both, for connections that exist and that come, at any time:

    proxy.add(Latency(0.1), Bandwidth(10_000))      proxy.add(Slicer(1), towards="client")
    proxy.clear()                                   proxy.reset_all()
    proxy.down()                                    proxy.up()

A direction is named after its end: "server" is what clients send, "client" what they receive. The
proxy holds at most `IN_FLIGHT` chunks of a direction, so that back-pressure reaches the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ports import hold_port
from toxics import (
    Bandwidth,
    BlackHole,
    Closing,
    Latency,
    LimitData,
    LoseReply,
    ResetPeer,
    Slicer,
    SlowClose,
    Toxic,
)

CHUNK_BYTES = 16_384
IN_FLIGHT = 4
WAIT_S = 10.0

End = Literal["server", "client"]


class _CutError(Exception):
    """The connection ends here."""

    def __init__(self, reset: bool) -> None:
        self.reset = reset


@dataclass(eq=False)
class _Link:
    """One client and the connection to the server made for it."""

    client: socket.socket
    server: socket.socket
    passed: dict[End, int] = field(default_factory=lambda: {"server": 0, "client": 0})
    mute: bool = False  # the next reply is lost
    limit: LimitData | None = None  # of its own, towards the client
    task: asyncio.Task[None] | None = None

    def socket_of(self, end: End) -> socket.socket:
        return self.server if end == "server" else self.client

    def close(self, reset: bool) -> None:
        for sock in (self.client, self.server):
            if reset:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


class Proxy:
    """Forwards to `target` (a port on loopback); see the module. Jitter comes from `seed`."""

    def __init__(self, target: int, *, port: int = 0, seed: int = 1) -> None:
        self.target = target
        self.port = port or hold_port()
        self.accepted = 0
        self.lost_replies = 0
        self.passed = 0  # bytes that clients got
        self._dice = random.Random(seed)
        self._toxics: dict[End, tuple[Toxic, ...]] = {"server": (), "client": ()}
        self._links: set[_Link] = set()
        self._limits: Iterator[LimitData] = iter(())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="toxics", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._changed = self._call(self._make_event())
        self.up()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The address for clients that speak HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._links)

    def add(self, *toxics: Toxic, towards: End | None = None) -> None:
        """Add toxics for one direction or both."""
        for end in self._ends(towards):
            self._toxics[end] += toxics
        self._loop.call_soon_threadsafe(self._changed.set)

    def limit_each(self, limits: Iterable[LimitData]) -> None:
        """Give each connection to come a limit of its own towards the client, while there are."""
        self._limits = iter(limits)

    def clear(self, towards: End | None = None) -> None:
        """Take all toxics away; what was held passes."""
        for end in self._ends(towards):
            self._toxics[end] = ()
        self._loop.call_soon_threadsafe(self._changed.set)

    def reset_all(self) -> None:
        """Give both ends of every connection a reset."""
        self._call(self._end_links())

    def down(self) -> None:
        """Listen no more, and reset what is connected."""
        self._call(self._stop_listening())

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._call(self._listen())

    @staticmethod
    def _ends(towards: End | None) -> tuple[End, ...]:
        return (towards,) if towards else ("server", "client")

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _make_event(self) -> asyncio.Event:
        return asyncio.Event()

    async def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    async def _stop_listening(self) -> None:
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        await self._end_links()

    async def _end_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.task.cancel()
        await asyncio.gather(*(link.task for link in links), return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            server = socket.socket()
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, server, limit=next(self._limits, None))
            self._links.add(link)
            link.task = asyncio.create_task(self._serve(link))

    async def _serve(self, link: _Link) -> None:
        reset = True
        try:
            await self._loop.sock_connect(link.server, ("127.0.0.1", self.target))
            async with asyncio.TaskGroup() as group:
                for end in self._ends(None):
                    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
                    group.create_task(self._read(link, end, chunks))
                    group.create_task(self._write(link, end, chunks))
            reset = False
        except* _CutError as cuts:
            reset = any(cut.reset for cut in cuts.exceptions)
        except* OSError:
            pass  # one end is gone: the other gets a reset
        finally:
            link.close(reset)
            self._links.discard(link)

    async def _read(self, link: _Link, end: End, chunks: asyncio.Queue) -> None:
        source = link.client if end == "server" else link.server
        data = b"-"
        while data:
            try:
                data = await self._loop.sock_recv(source, CHUNK_BYTES)
            except OSError:
                await self._pass_hole(end)
                raise
            await chunks.put((time.monotonic(), data))

    async def _write(self, link: _Link, end: End, chunks: asyncio.Queue) -> None:
        target = link.socket_of(end)
        while True:
            arrived, data = await chunks.get()
            await self._delay(end, arrived)
            await self._pass_hole(end)
            if not data:
                break
            for piece, pause_s in self._pieces(end, data):
                await self._pass_hole(end)
                await self._send(link, end, target, piece)
                await asyncio.sleep(pause_s)
        for toxic in self._of(end, SlowClose):
            await asyncio.sleep(toxic.delay_s)
        target.shutdown(socket.SHUT_WR)

    async def _send(self, link: _Link, end: End, target: socket.socket, piece: bytes) -> None:
        if end == "client" and link.mute:
            self.lost_replies += 1
            raise _CutError(reset=True)
        for toxic in self._of(end, ResetPeer):
            await asyncio.sleep(toxic.after_s)
            raise _CutError(reset=True)
        limits = self._of(end, LimitData)
        if end == "client" and link.limit is not None:
            limits.append(link.limit)
        room = min((one.limit_bytes for one in limits), default=None)
        if room is not None and link.passed[end] + len(piece) >= room:
            rest = piece[: max(0, room - link.passed[end])]
            await self._loop.sock_sendall(target, rest)
            self._count(link, end, len(rest))
            await self._end_at_limit(min(limits, key=lambda one: one.limit_bytes).then)
        self._note_lost(link, end, piece)
        await self._loop.sock_sendall(target, piece)
        self._count(link, end, len(piece))

    def _count(self, link: _Link, end: End, size: int) -> None:
        link.passed[end] += size
        self.passed += size if end == "client" else 0

    async def _end_at_limit(self, then: Closing) -> None:
        if then == "hold":
            await asyncio.Event().wait()
        raise _CutError(reset=then == "reset")

    def _note_lost(self, link: _Link, end: End, piece: bytes) -> None:
        """Mute the link when a toxic waits for what is in `piece`."""
        for toxic in self._of(end, LoseReply) if end == "server" else ():
            if toxic.pattern in piece:
                link.mute = True
                others = list(self._toxics[end])
                others.remove(toxic)
                if toxic.times > 1:
                    others.append(LoseReply(toxic.pattern, toxic.times - 1))
                self._toxics[end] = tuple(others)

    async def _delay(self, end: End, arrived: float) -> None:
        for toxic in self._of(end, Latency):
            delay = toxic.delay_s + self._dice.uniform(-toxic.jitter_s, toxic.jitter_s)
            await asyncio.sleep(max(0.0, arrived + delay - time.monotonic()))

    async def _pass_hole(self, end: End) -> None:
        """Wait while there is a black hole."""
        entered = time.monotonic()
        while holes := self._of(end, BlackHole):
            self._changed.clear()
            limits = [one.after_s for one in holes if one.after_s is not None]
            left = min(limits) - (time.monotonic() - entered) if limits else None
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                raise _CutError(reset=False) from None

    def _pieces(self, end: End, data: bytes) -> list[tuple[bytes, float]]:
        """Cut `data`, each piece with the pause after it."""
        size, pause = len(data), 0.0
        for slicer in self._of(end, Slicer):
            size, pause = min(size, slicer.size), max(pause, slicer.delay_s)
        rate = min((one.bytes_per_s for one in self._of(end, Bandwidth)), default=None)
        if rate is not None:
            size = min(size, max(1, int(rate / 20)))  # twenty times a second, or byte by byte
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        return [(one, max(pause, len(one) / rate if rate else 0.0)) for one in pieces]

    def _of(self, end: End, kind: Callable[..., Any]) -> list[Any]:
        return [toxic for toxic in self._toxics[end] if isinstance(toxic, kind)]
