"""Reads the sockets of many streams, on one core that has little to spare.

Reading 100,000 times a second leaves some microseconds for each read: the sockets are watched by
an epoll of their own, and what has come is handed to the streams without a transport between.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from types import TracebackType

from benchmarks.streams.stream import Stream

READ_BYTES = 65_536
MAX_EVENTS = 100_000


class Reader:
    """Use as `async with`. With `nap_s` it looks that seldom: waking for each frame costs more
    than reading it, and what it measures is tens of milliseconds. Without, it looks at once."""

    def __init__(self, nap_s: float = 0.0) -> None:
        self._nap_s = nap_s
        self._poll = select.epoll()
        self._streams: dict[int, tuple[Callable[[int], bytes], Stream]] = {}
        self._napping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reader:
        if self._nap_s:
            self._napping = asyncio.create_task(self._look_for_ever(), name="reader")
        else:
            asyncio.get_running_loop().add_reader(self._poll.fileno(), self._look)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._napping is not None:
            self._napping.cancel()
        else:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
        for _, stream in self._streams.values():
            stream.close()
        self._poll.close()

    async def add(self, stream: Stream, port: int) -> None:
        """Connect a stream and have it ask. Raises `OSError`."""
        to = socket.socket()
        to.setblocking(False)
        to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(to, ("127.0.0.1", port))
        self._streams[to.fileno()] = to.recv, stream
        # Edge-triggered: a socket that was read is not looked at again before more has come.
        self._poll.register(to.fileno(), select.EPOLLIN | select.EPOLLET)
        stream.connected(to)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._nap_s)
            self._look()

    def _look(self) -> None:
        streams = self._streams
        for file, _ in self._poll.poll(0, MAX_EVENTS):
            receive, stream = streams[file]
            try:
                while data := receive(READ_BYTES):
                    stream.received(data)
                    if len(data) < READ_BYTES:
                        break
                else:
                    self._drop(file)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(file)

    def _drop(self, file: int) -> None:
        _, stream = self._streams.pop(file)
        self._poll.unregister(file)
        stream.lost()
        stream.close()
