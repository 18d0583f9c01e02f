"""Listening, serving, and going away without cutting anybody off."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from starlette.concurrency import run_in_threadpool

from server.answering.turns import Turns
from server.app import build_app, open_node
from server.config.read import SettingsError
from server.config.settings import Settings
from server.deadlines import CLOSE_TIMEOUT_S, HEAD_S, HttpProtocol
from server.endpoints.node import Node
from server.floods import counting_protocol
from server.plan import Plan
from server.sampling import sample_for_ever
from server.storage.cancelling import end_tasks
from server.telemetry.loop_watch import LoopWatch

log = structlog.get_logger("manicule")

# What the kernel may hold of a client that does not read; the default is megabytes.
SEND_BUFFER_BYTES = 65_536
BACKLOG = 2048
SPARE_FILES = 512  # manuals, stores, models, Redis, and clients that have not shaken hands yet


COLLECTOR_THRESHOLDS = (1_000, 4, 2_000)
"""New objects before the youngest are looked at, and how many such looks before the middle and the
old ones are. A look at the middle ones takes 3 to 13 ms, and one at all grows with what is open.
Sockets and answers leave no cycles behind, so there is hardly anything to find."""

SWITCH_S = 0.001
"""How long a thread may keep the interpreter from the loop; Python's own 5 ms, for each of several
turns, make the loop 20 to 30 ms late while a large manual is indexed. Costs such a thread 3 %."""


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens as the settings say; raises `ListenError`."""
    return _listen(settings.host, settings.port, "--host and --port (--port 0 takes a free one)")


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """Return the socket for `/metrics` alone, if the settings name a port; raises `ListenError`."""
    if not settings.metrics_port:
        return None
    return _listen(settings.host, settings.metrics_port, "MANICULE_METRICS_PORT")


def _listen(host: str, port: int, choice: str) -> socket.socket:
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
        reason = error.strerror or error
        raise ListenError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another with {choice}."
        ) from None
    sock.setblocking(False)
    return sock


def raise_file_limit(connections: int) -> None:
    """Let this process have as many files open as it may: each socket is one.

    Says so when that is too few for `connections` sockets.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        highest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        if highest < wanted:
            log.warning("few_files", limit=highest, wanted=wanted, remedy="Raise ulimit -n.")


def check_tls(settings: Settings) -> None:
    """Look at certificate and key before anything is opened; raises `SettingsError`."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # of ssl too
        reason = getattr(error, "reason", None) or error.strerror or "cannot be used"
        raise SettingsError(
            [f"MANICULE_TLS_CERTIFICATE: {certificate} and {key}: {reason}. Give both as PEM."]
        ) from None


def address_of(sock: socket.socket, scheme: str = "http") -> str:
    """Return the socket's address as a URL for people."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - shown, not listened on
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class FatalError(Exception):
    """The process had to end; the message says why."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which would cut running answers.

    Of its sockets the first is the server's, with TLS if that is set; others are plain.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with an end to TLS handshakes too, which uvicorn leaves open for a minute."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        turns = Turns()

        def protocol() -> asyncio.Protocol:
            made = HttpProtocol(self.config, self.server_state, self.lifespan.state, loop)
            made.turns = turns
            return made

        self.servers = []
        for sock in sockets or []:
            handshake_s = HEAD_S if tls else None
            server = await loop.create_server(
                protocol, sock=sock, ssl=tls, ssl_handshake_timeout=handshake_s, backlog=BACKLOG
            )
            self.servers.append(server)
            tls = None
        self.started = True


async def serve(plan: Plan, socks: list[socket.socket], announce: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called when ready.

    The first of the sockets is the server's, a second one that of `/metrics`.
    """
    async with open_node(plan) as (node, readiness):
        metrics_port = socks[1].getsockname()[1] if len(socks) > 1 else None
        app = build_app(node, readiness, metrics_port)
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
        give_the_loop_its_time()
        watch = LoopWatch(plan.metrics)
        with departure.on_signals(), contextlib.closing(watch):
            watch.start()
            announce()
            await server.serve(sockets=socks)
        await end_tasks(*tasks)
    if plan.failure.reason is not None:
        raise FatalError(plan.failure.reason)


def give_the_loop_its_time() -> None:
    """Let the garbage collector look at less, and less often, and threads give way sooner.

    What there is at the start stays to the end. Of what comes later reference counts free nearly
    all; with 400 answers running, collections as Python has them made text up to 200 ms late.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


async def _leave_on_failure(plan: Plan, departure: Departure) -> None:
    """Go away when durability cannot be had any more: a restart looks at the disk anew."""
    await plan.failure.happened.wait()
    log.critical("going_away", reason=plan.failure.reason)
    departure.begin()


def _uvicorn_config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=HttpProtocol,
        ws=counting_protocol(settings.max_frames_per_s),
        ws_max_size=settings.max_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=settings.ping_interval_s,
        ws_ping_timeout=settings.ping_interval_s,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
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
            self._node.answering.stop_all()
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
