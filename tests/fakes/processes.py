"""The server as its users start it: a process, its folder, its log, its memory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ports import hold_port
from rig import manuals_folder

START_S = 60.0


@dataclass
class ServerProcess:
    """`manicule serve` on a port of its own, answering from `script` about one manual."""

    folder: Path
    script: list[dict[str, object]] = field(default_factory=lambda: [{"text": "Hello."}])
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "server")
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> ServerProcess:
        """Start it and wait for the address that it prints."""
        (self.folder / "script.json").write_text(json.dumps(self.script))
        command = [sys.executable, *self.program, "serve", "--port", str(hold_port())]
        command += ["--data-dir", str(self.folder / "data")]
        if "--model" not in self.options:
            command += ["--model", f"scripted:{self.folder / 'script.json'}"]
        if "--catalog" not in self.options and "--manuals" not in self.options:
            command += ["--manuals", str(manuals_folder(self.folder / "manuals"))]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MANICULE")}
        self._log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, *self.options],
            cwd=self.folder,
            env={**clean, "PYTHONUNBUFFERED": "1", **self.variables},
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        watchdog = threading.Timer(START_S, self.process.kill)
        watchdog.start()
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found[0]
                break
        watchdog.cancel()
        assert self.url, f"the server did not start: {said}{self.log()}"
        return self

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def product_id(self) -> str:
        """The id of the one manual's product."""
        return "td-17"

    def log(self) -> str:
        """What it has written to standard error."""
        return (self.folder / "log").read_text()

    def log_lines(self) -> list[dict]:
        """The lines of its log, each of which must be one JSON object."""
        return [json.loads(line) for line in self.log().split("\n") if line]

    def rss_bytes(self) -> int:
        """Its resident memory."""
        pages = (Path("/proc") / str(self.process.pid) / "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, bound_s: float = START_S) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(bound_s)
        self.process.stdout.close()
        self._log.close()
        return code

    def kill(self) -> None:
        """End it as a crash would, if it still runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.wait()


def factory(tmp_path_factory):
    """Yield a function that starts servers: `server(script, *options, **variables)`.

    `program` is what Python runs instead of the server's own module.
    """
    servers: list[ServerProcess] = []

    def start(
        script=None, *options: str, program: tuple[str, ...] = ("-m", "server"), **variables: str
    ) -> ServerProcess:
        made = ServerProcess(tmp_path_factory.mktemp("server"), options=options, program=program)
        made.variables = {f"MANICULE_{name.upper()}": value for name, value in variables.items()}
        if script is not None:
            made.script = script
        servers.append(made)
        return made.start()

    yield start
    for server in servers:
        server.kill()


def wait_until(check, what: str = "the awaited state", bound_s: float = 20.0) -> None:
    """Wait, blocking, for a state of another process."""
    deadline = time.monotonic() + bound_s
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)
