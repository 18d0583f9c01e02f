"""A whole fleet on this machine: nodes behind a real HAProxy, two Redis, PostgreSQL.

Everything listens on 127.0.0.1 only. HAProxy asks each node's /ready twice a second: a node that
drains gets no new connections while those it has go on.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from ports import hold_port
from postgres_servers import PostgresServer, copy_of, initialise, new_folder
from redis_servers import RedisServer

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".tools" / "haproxy"
START_S = 60.0
MAX_NODES = 6  # places that the balancer's configuration has
REDIS = ROOT / "kubernetes" / "redis"

HAPROXY = """
global
    maxconn 8192
    stats socket {folder}/haproxy.sock mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout check 2s
    # What a node has not begun to answer may be tried on another.
    retries 2
    option redispatch
frontend door
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance leastconn
    option httpchk GET /ready
    http-check send hdr Host 127.0.0.1:{port}
    default-server check inter 500ms fall 1 rise 1
{servers}
"""


def haproxy() -> tuple[str, dict[str, str]]:
    """The program and the variables it needs; fails the test when there is none."""
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found, {}
    program = UNPACKED / "usr" / "sbin" / "haproxy"
    if not program.exists():
        pytest.fail("no haproxy: run scripts/require-haproxy, as `make test` does")
    libraries = ":".join(str(path) for path in (UNPACKED / "usr" / "lib").glob("*-linux-*"))
    return str(program), {"LD_LIBRARY_PATH": libraries}


def wait_for(check: Callable[[], bool], what: str, bound_s: float = START_S) -> None:
    """Wait for a state that others bring about."""
    deadline = time.monotonic() + bound_s
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {bound_s:g} s")
        time.sleep(0.02)


@dataclass(eq=False)
class FleetRedis(RedisServer):
    """A Redis with the users of production, and one who may look at everything."""

    def run_as_admin(self, *command: str) -> object:
        """One command."""
        with redis.Redis(port=self.port, username="admin", password="any") as client:
            return client.execute_command(*command)


@dataclass
class FleetNode:
    """One server process with a port and a folder of its own; it can come back on its port."""

    name: str
    folder: Path
    port: int
    variables: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it may take traffic."""
        self.folder.mkdir(exist_ok=True)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MANICULE")}
        command = [sys.executable, "-m", "server", "serve", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.folder / "data")],
                cwd=self.folder,
                env={**clean, **self.variables},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # Ctrl-C at the terminal reaches the fleet, which drains its nodes in order.
                start_new_session=True,
            )
        wait_for(self.is_ready, f"{self.name}, see {self.folder / 'log'},")

    def is_ready(self) -> bool:
        """Whether /ready says so."""
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/ready", timeout=2) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def leave(self) -> int:
        """Drain and end, as in a rollout; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """End as a crash would."""
        if self.process is not None:
            self.process.kill()
            self._ended()

    def _ended(self) -> int:
        assert self.process is not None
        code = self.process.wait(START_S)
        self.process = None
        return code

    def log(self) -> str:
        return (self.folder / "log").read_text()


class Fleet:
    """`with Fleet(3) as fleet`: `fleet.url` is the door; nodes may be killed, restarted, added.

    `settings` are settings of every node, by name.
    """

    def __init__(self, nodes: int = 3, **settings: str) -> None:
        assert 1 <= nodes <= MAX_NODES
        self._count = nodes
        self._settings = settings
        self.nodes: list[FleetNode] = []

    def __enter__(self) -> Fleet:
        self._stack = ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="manicule-fleet-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.cache, self.log = self._redis("cache"), self._redis("log")
        self.store = self._postgres()
        self.port = hold_port()
        self._ports = [hold_port() for _ in range(MAX_NODES)]
        self._variables = {
            "MANICULE_CACHE_URL": f"redis://manicule:fleet@127.0.0.1:{self.cache.port}/0",
            "MANICULE_LOG_URL": f"redis://manicule:fleet@127.0.0.1:{self.log.port}/0",
            "MANICULE_STORE": self.store.url,
            "MANICULE_SECRET_KEY": secrets.token_hex(16),
            "MANICULE_LOG_FORMAT": "json",
            **{f"MANICULE_{name.upper()}": value for name, value in self._settings.items()},
        }
        for _ in range(self._count):
            self.add()
        self._balance()
        wait_for(self.is_open, "the balancer")

    @property
    def url(self) -> str:
        """The door, where clients knock."""
        return f"http://127.0.0.1:{self.port}"

    def add(self) -> FleetNode:
        """Start one more node; the balancer finds it by itself."""
        number = len(self.nodes)
        assert number < MAX_NODES, "the balancer has no more places"
        name = f"node{number + 1}"
        node = FleetNode(name, self.folder / name, self._ports[number], self._variables)
        self.nodes.append(node)
        self._stack.callback(node.kill)
        node.start()
        return node

    def roll(self) -> list[int]:
        """Restart every node, one after the other, each drained; the exit codes."""
        codes = []
        for node in self.nodes:
            codes.append(node.leave())
            node.start()
            wait_for(lambda node=node: self.balanced(node), f"{node.name} behind the balancer")
        return codes

    def balanced(self, node: FleetNode) -> bool:
        """Whether the balancer sends connections to a node."""
        row = next(line for line in self.ask("show stat").splitlines() if f",{node.name}," in line)
        return row.split(",")[17] == "UP"

    def ask(self, command: str) -> str:
        """What HAProxy answers on its socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.folder / "haproxy.sock"))
            client.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: client.recv(65_536), b"")).decode()

    def is_open(self) -> bool:
        """Whether the balancer reaches every node that runs."""
        try:
            return all(self.balanced(node) for node in self.nodes if node.process)
        except OSError:
            return False

    @property
    def redis(self) -> tuple[FleetRedis, FleetRedis]:
        """Both."""
        return self.cache, self.log

    def _redis(self, name: str) -> FleetRedis:
        folder = self.folder / name
        folder.mkdir()
        users = (REDIS / f"{name}-users.acl").read_text().replace("PASSWORD", "fleet")
        (folder / "users.acl").write_text(users + "user admin on nopass ~* &* +@all\n")
        conf = (REDIS / f"{name}.conf").read_text()
        conf = conf.replace("/run/redis/users.acl", str(folder / "users.acl"))
        conf = re.sub(r"^dir .*$", f"dir {folder}", conf, flags=re.MULTILINE)
        (folder / "redis.conf").write_text(conf)
        server = FleetRedis(folder, ("--include", str(folder / "redis.conf")))
        self._stack.callback(server.kill)
        return server.start()

    def _postgres(self) -> PostgresServer:
        template = new_folder()
        self._stack.callback(shutil.rmtree, template, ignore_errors=True)
        initialise(template)
        server = copy_of(template)
        self._stack.callback(server.remove)
        return server.start()

    def _balance(self) -> None:
        lines = [
            f"    server node{number + 1} 127.0.0.1:{port}"
            for number, port in enumerate(self._ports)
        ]
        text = HAPROXY.format(folder=self.folder, port=self.port, servers="\n".join(lines))
        (self.folder / "haproxy.cfg").write_text(text)
        program, variables = haproxy()
        with (self.folder / "haproxy.log").open("ab") as log:
            self.balancer = subprocess.Popen(
                [program, "-db", "-f", str(self.folder / "haproxy.cfg")],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._stack.callback(self.balancer.wait, START_S)
        self._stack.callback(self.balancer.kill)
