"""`manicule serve`: reads what is to be served, listens, says where to look, and serves.

With several workers this process only watches: it listens once, the workers share the socket, and
a worker that dies is replaced, unless it dies young, which would go on for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, NoReturn

import structlog

from prompts.library import PromptError
from server.app import SERVER_VERSION
from server.cli.text import one_line
from server.config.checks import is_loopback
from server.config.places import store_url
from server.config.read import SettingsError
from server.config.rows import hide_secret
from server.config.settings import Settings
from server.llm.chain import ChainError
from server.llm.prices import PriceTableError
from server.manuals.products import CatalogError
from server.plan import Plan, make_plan
from server.serving import (
    FatalError,
    ListenError,
    address_of,
    check_tls,
    listen,
    listen_for_metrics,
    raise_file_limit,
    serve,
)
from server.storage.checks import check_cache, check_log
from server.storage.migrating import MigrationError
from server.storage.store import StoreUnavailableError
from server.telemetry.logs import configure_logs
from server.webhooks.endpoints import WebhookError

CONFIGURATION: Final = 2
FAILED: Final = 1
YOUNG_S: Final = 10.0
"""A worker that dies before this age did not die of its work: the server stops."""

log = structlog.get_logger("manicule")


def run_server(settings: Settings) -> int:
    """Serve until told to stop; returns the exit code. What is wrong is told in a line each."""
    configure_logs(settings.log_level, log_form(settings))
    try:
        plan = make_plan(settings)
        check_tls(settings)
        socks = [sock for sock in (listen(settings), listen_for_metrics(settings)) if sock]
    except (CatalogError, PromptError, SettingsError, WebhookError) as error:
        return _complain(error.problems, CONFIGURATION)
    except (ChainError, PriceTableError) as error:
        return _complain([str(error)], CONFIGURATION)
    except ListenError as error:
        return _complain([str(error)], FAILED)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}. Check the path and its permissions."
        return _complain([what], FAILED)
    if not (is_loopback(settings.host) or settings.tls_certificate or settings.trusted_proxies):
        log.warning("no_tls", remedy="Set a TLS certificate, or trusted proxies that end TLS.")
    raise_file_limit(settings.max_connections)
    log.info("starting", version=SERVER_VERSION, **_changed(settings))
    if settings.workers == 1:
        return _serve_here(plan, socks, lambda: _announce(plan, socks))
    _announce(plan, socks)
    return _Workers(plan, socks).run()


def _changed(settings: Settings) -> dict[str, object]:
    """What is not as it is by default, without secrets."""
    default = Settings().redacted()
    return {name: value for name, value in settings.redacted().items() if value != default[name]}


def log_form(settings: Settings) -> Literal["json", "console"]:
    """Return the form of the log: `auto` is for people on a terminal, for programs elsewhere."""
    if settings.log_format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return "console" if settings.log_format == "console" else "json"


def _complain(problems: tuple[str, ...] | list[str], code: int) -> int:
    for problem in problems:
        sys.stderr.write(f"{one_line(problem)}\n")
    return code


def _serve_here(plan: Plan, socks: list[socket.socket], announce: Callable[[], None]) -> int:
    async def run() -> None:
        warning = asyncio.create_task(_warn_of_services(plan.settings), name="warn-of-services")
        try:
            await serve(plan, socks, announce)
        finally:
            warning.cancel()
            await asyncio.gather(warning, return_exceptions=True)

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run())
    except StoreUnavailableError as error:
        where = hide_secret(store_url(plan.settings))
        what = f"The store {where} cannot be opened: {error}. Try: manicule check"
        return _complain([what], FAILED)
    except MigrationError as error:
        return _complain([str(error)], FAILED)
    except FatalError as error:
        return _complain([f"The server had to end: {error}"], FAILED)
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster loop, which comes with uvicorn where it can be had, or None."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _warn_of_services(settings: Settings) -> None:
    """A service that is away or unfit at the start is a warning: answers work without it."""
    for name, url, check in (
        ("cache", settings.cache_url, check_cache),
        ("log", settings.log_url, check_log),
    ):
        for finding in await check(url) if url else []:
            if not finding.ok:
                log.warning(
                    "service_unfit",
                    service=name,
                    url=hide_secret(url),
                    what=finding.what,
                    remedy=finding.remedy,
                )


def _announce(plan: Plan, socks: list[socket.socket]) -> None:
    settings = plan.settings
    page = address_of(socks[0], "https" if settings.tls_certificate else "http")
    source = settings.manuals or settings.catalog or "demo catalog"
    number = len(plan.catalog)
    lines = [
        f"manicule {SERVER_VERSION} is ready: {page}",
        f"  page      {page}/",
        f"  socket    {page.replace('http', 'ws', 1)}/ws",
        f"  products  {number} ({source})",
        f"  model     {', '.join(plan.chain.names)}",
        f"  store     {hide_secret(store_url(settings))}",
        f"  cache     {hide_secret(settings.cache_url) if settings.cache_url else 'in process'}",
        f"  data      {settings.data_dir.absolute()}",
    ]
    if len(socks) > 1:
        lines.append(f"  metrics   {address_of(socks[1])}/metrics")
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stdout.flush()


def printable(line: str) -> str:
    """Return the line without anything that could break it, its own spaces kept."""
    return "".join(char if char.isprintable() else " " for char in line)


class _Workers:
    """The processes that share the socket. Their parent serves nothing itself."""

    def __init__(self, plan: Plan, socks: list[socket.socket]) -> None:
        self._plan = plan
        self._socks = socks
        self._started: dict[int, float] = {}
        self._stopping = False
        self._code = 0
        self._lifeline = os.pipe()

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        for _ in range(self._plan.settings.workers):
            if not self._stopping:
                self._fork()
        while self._started:
            pid, status = os.wait()
            age_s = time.monotonic() - self._started.pop(pid, 0.0)
            self._plan.metrics.forget_process(pid)
            if self._stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            log.error("worker_died", pid=pid, exit_code=code, age_s=round(age_s, 1))
            if age_s < YOUNG_S:
                self._code = FAILED
                self._stop(signal.SIGTERM)
            else:
                self._fork()
        return self._code

    def _fork(self) -> None:
        pid = os.fork()
        if pid == 0:
            self._work()
        self._started[pid] = time.monotonic()
        if self._stopping:  # the signal came between the fork and this line
            os.kill(pid, signal.SIGTERM)

    def _work(self) -> NoReturn:
        """Be a worker until told to stop by the parent, or left alone by it."""
        code = FAILED
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.setpgrp()  # Ctrl-C reaches the parent only, which passes it on once
            os.close(self._lifeline[1])
            threading.Thread(target=self._watch_parent, name="watch-parent", daemon=True).start()
            code = _serve_here(self._plan, self._socks, lambda: None)
        except Exception:
            log.exception("worker_failed")
        finally:
            os._exit(code)

    def _watch_parent(self) -> None:
        os.read(self._lifeline[0], 1)  # nothing is ever written: it returns when the parent is gone
        os.kill(os.getpid(), signal.SIGTERM)

    def _signalled(self, number: int, _frame: object) -> None:
        self._stop(number)

    def _stop(self, number: int) -> None:
        self._stopping = True
        for pid in tuple(self._started):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
