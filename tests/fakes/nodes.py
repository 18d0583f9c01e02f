"""Several servers that are one service: the same log, store and key, each behind a proxy."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from processes import ServerProcess
from rig import WAIT_S, manuals_folder
from toxic_proxy import Proxy

FLOWING = [{"text": "First "}, {"tokens": 60, "rate_per_s": 30}]


class Nodes:
    """`nodes` servers that share a log and a store; `with Nodes(...) as fleet:`.

    `proxies[n]` is a way to node n that can be cut; `log` is the proxy through which all nodes
    speak to the log Redis. Further settings are given by name.
    """

    def __init__(
        self, folder: Path, log_port: int, nodes: int = 2, script=None, **variables: str
    ) -> None:
        self.folder = folder
        self.log = Proxy(log_port)
        self.script = script or FLOWING
        self.variables = variables
        self.nodes: list[ServerProcess] = []
        self.proxies: list[Proxy] = []
        self._number = nodes

    def __enter__(self) -> Nodes:
        self.log.__enter__()
        self._manuals = manuals_folder(self.folder / "manuals")
        self.nodes = [self._make(number) for number in range(self._number)]
        try:
            self.nodes[0].start()  # it makes the store's tables
            with ThreadPoolExecutor() as pool:
                list(pool.map(ServerProcess.start, self.nodes[1:]))
            for node in self.nodes:
                proxy = Proxy(node.port)
                self.proxies.append(proxy.__enter__())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.signal(signal.SIGCONT)
            node.kill()
        for proxy in (*self.proxies, self.log):
            proxy.__exit__()

    @property
    def urls(self) -> list[str]:
        """The addresses through the proxies."""
        return [proxy.url for proxy in self.proxies]

    def restart(self, number: int) -> None:
        """Start a node that has ended, on its port."""
        port = str(self.nodes[number].port)
        made = self._make(number, "--port", port)
        made.generation = getattr(self.nodes[number], "generation", 0) + 1
        made.folder = self.folder / f"node-{number}-{made.generation}"
        made.folder.mkdir()
        self.nodes[number] = made.start()

    def roll(self, number: int) -> int:
        """End a node as a deployment does and start it again; its exit code."""
        self.nodes[number].signal()
        code = self.nodes[number].wait()
        self.restart(number)
        return code

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all nodes that answer."""
        return sum(sample(node.url, name, **labels) for node in self.nodes)

    def log_text(self) -> str:
        """What all nodes that ever ran have logged."""
        return "".join(file.read_text() for file in sorted(self.folder.glob("node-*/log")))

    def _make(self, number: int, *options: str) -> ServerProcess:
        folder = self.folder / f"node-{number}"
        folder.mkdir(exist_ok=True)
        settings = {
            "log_url": f"redis://127.0.0.1:{self.log.port}/0",
            "store": f"sqlite:///{self.folder / 'store.db'}",
            "secret_key": "the key of the fleet",
            "connections_per_address": "10000",
            "handshakes_per_minute": "1000000",
            "requests_per_minute": "1000000",
            "warm_manuals": "0",
        } | self.variables
        return ServerProcess(
            folder,
            script=self.script,
            options=("--manuals", str(self._manuals), *options),
            variables={f"MANICULE_{name.upper()}": value for name, value in settings.items()},
        )


def sample(url: str, name: str, **labels: str) -> float:
    """The sum of a metric's series that have these labels; 0 when there are none."""
    text = httpx.get(f"{url}/metrics", trust_env=False, timeout=WAIT_S).text
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = re.findall(rf"^manicule_{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for given, value in found if all(one in given for one in wanted))


def open_files(process: ServerProcess) -> int:
    """How many file descriptors a server has."""
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))
