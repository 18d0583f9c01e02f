"""What a start loads: each of these takes time and memory that only some set-ups need."""

import subprocess
import sys

UNASKED = {
    "redis": "a cache or a log",
    "asyncpg": "a PostgreSQL store",
    "cryptography": "public keys or watched certificates",
    "pypdf": "a manual, which is read in another process",
    "pypdfium2": "a manual, which is read in another process",
    "selectolax": "a manual, which is read in another process",
    "aiohttp": "a model of a provider",
    "opentelemetry": "a collector",
    "google.generativeai": "Google's own client",
    "pydantic": "nothing",
}
PROGRAM = """
import asyncio, sys
from pathlib import Path

import server.cli.app
import server.cli.launch
from server.app import build_app, open_node
from server.config.settings import Settings
from server.plan import make_plan

async def run():
    async with open_node(make_plan(Settings(data_dir=Path(sys.argv[1])))) as (node, readiness):
        build_app(node, readiness)
        await readiness.look()

asyncio.run(run())
print(*sys.modules)
"""


def test_nothing_is_loaded_that_was_not_asked_for(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "starlette" in loaded
    assert {name: why for name, why in UNASKED.items() if name in loaded} == {}


SERVED = """
import asyncio, gc, os, signal, sys
from pathlib import Path

from server.config.settings import Settings
from server.plan import make_plan
from server.serving import listen, serve

def tell():
    seen = (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()[0], sys.getswitchinterval())
    print("seen", *seen)
    os.kill(os.getpid(), signal.SIGTERM)

settings = Settings(data_dir=Path(sys.argv[1]), port=0)
asyncio.run(serve(make_plan(settings), [listen(settings)], tell))
"""


def test_a_server_that_is_ready_has_given_its_loop_its_time(tmp_path):
    """What the benchmarks would show and nothing else would tell."""
    command = [sys.executable, "-c", SERVED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("seen ")]
    enabled, frozen, threshold, interval_s = line.split()[1:]
    assert enabled == "True"
    assert int(frozen) > 50_000
    assert int(threshold) <= 1000  # a look at more would be a pause
    assert float(interval_s) < 0.005
