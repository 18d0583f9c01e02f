"""Listening, serving, and going away without cutting anybody off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from starlette.concurrency import run_in_threadpool

from server.app import build_app, open_node
from server.config.settings import Settings
from server.deadlines import CLOSE_TIMEOUT_S, HttpProtocol, SocketProtocol
from server.endpoints.node import Node
from server.plan import Plan
from server.sampling import sample_for_ever
from server.telemetry.loop_watch import LoopWatch

log = structlog.get_logger("manicule")

# What the kernel may hold of a client that does not read; the default is megabytes.
SEND_BUFFER_BYTES = 65_536
BACKLOG = 2048


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens as the settings say; raises `ListenError`."""
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        raise ListenError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. "
            "Choose another with --host and --port (--port 0 takes a free one)."
        ) from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the socket's address as a URL for people."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - shown, not listened on
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class FatalError(Exception):
    """The process had to end; the message says why."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which would cut running answers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(plan: Plan, sock: socket.socket, announce: Callable[[], None]) -> None:
    """Serve on `sock` until SIGTERM or SIGINT; `announce` is called when ready."""
    async with open_node(plan) as (node, readiness):
        app = build_app(node, readiness)
        server = _Server(_uvicorn_config(app, plan.settings))
        tasks = [
            asyncio.create_task(_warm(plan, node), name="warm-manuals"),
            asyncio.create_task(sample_for_ever(plan, readiness), name="gauges"),
        ]
        departure = Departure(node, server, plan.settings.drain_s)
        tasks.append(asyncio.create_task(_leave_on_failure(plan, departure), name="failure-watch"))
        for task in tasks:
            task.add_done_callback(_report_death)
        # Starlette loads the parts for threads and streams at first use: 60 ms, now and not then.
        await run_in_threadpool(bool)
        watch = LoopWatch(plan.metrics)
        with departure.on_signals(), contextlib.closing(watch):
            watch.start()
            announce()
            await server.serve(sockets=[sock])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if plan.failure.reason is not None:
        raise FatalError(plan.failure.reason)


async def _leave_on_failure(plan: Plan, departure: Departure) -> None:
    """Go away when durability cannot be had any more: a restart looks at the disk anew."""
    await plan.failure.happened.wait()
    log.critical("going_away", reason=plan.failure.reason)
    departure.begin()


def _uvicorn_config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.max_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=settings.ping_interval_s,
        ws_ping_timeout=settings.ping_interval_s,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(CLOSE_TIMEOUT_S),
    )


class Departure:
    """The first signal drains, the second goes at once."""

    def __init__(self, node: Node, server: uvicorn.Server, drain_s: float) -> None:
        self._node = node
        self._server = server
        self._drain_s = drain_s
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """React to SIGTERM and SIGINT inside the block."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def begin(self) -> None:
        """Drain, if that has not begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="drain")

    def _signalled(self) -> None:
        if self._task is None:
            self.begin()
        else:
            self._node.answering.abandon_all()
            self._server.force_exit = True
            self._server.should_exit = True

    async def _drain(self) -> None:
        log.info("draining", answers=len(self._node.answering.running))
        try:
            await self._node.drain(self._drain_s)
        finally:
            self._server.should_exit = True


def _report_death(task: asyncio.Task[None]) -> None:
    """Log a side task that failed: the server goes on without it, but not in silence."""
    if not task.cancelled() and task.exception() is not None:
        log.error("task_failed", task=task.get_name(), exc_info=task.exception())


async def _warm(plan: Plan, node: Node) -> None:
    """Prepare the manuals that are asked most, while nobody waits for them."""
    products = [(p.id, p.manual) for p in plan.catalog.products if p.manual is not None]
    warmed = await node.manuals.warm(products, plan.settings.warm_manuals)
    log.info("manuals_warmed", number=warmed)
