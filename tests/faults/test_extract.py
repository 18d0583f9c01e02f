"""The extractor against hostile manuals and children that fail."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.manuals.documents import ManualError
from server.manuals.extract import Extractor, sniff

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("hostile_pdfs", ROOT / "tests/fakes/hostile_pdfs.py")
hostile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hostile)

LIMITS = {
    "processes": 2,
    "cpu_s": 10,
    "wall_s": 30.0,
    "memory_bytes": 1024 * 2**20,
    "max_pages": 10_000,
    "max_chars": 20_000_000,
}


@pytest.fixture
async def extractor():
    made = Extractor(**LIMITS)
    yield made
    await made.aclose()


def unheard(done, total):
    pass


async def problem_of(extractor, data, kind="pdf"):
    with pytest.raises(ManualError) as caught:
        await extractor.extract(data, kind, unheard)
    return caught.value.problem


async def outcome_of(extractor, data):
    """The problem, or "read" for a document that was read after all."""
    try:
        await extractor.extract(data, "pdf", unheard)
    except ManualError as error:
        return error.problem
    return "read"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "login page"),
        (b"MZ\x90\x00" + b"\0" * 100, "Windows program"),
        (b"PK\x03\x04" + b"\0" * 100, "ZIP"),
        (b"PK\x03\x04 %PDF-1.4", "ZIP"),
        (b"Not found", "plain text"),
        (b"\0\1\2" * 50, "unknown kind"),
    ],
)
def test_f94_what_is_no_pdf_is_refused_by_its_bytes(data, says):
    with pytest.raises(ManualError, match=says) as caught:
        sniff(data, declared=None, content_type="application/pdf", name="/manual.pdf")
    assert caught.value.problem == "wrong_type"


HOSTILE = {
    "flate bomb": (lambda: hostile.flate_bomb(1), {"damaged", "too_large"}),
    "nested flate": (lambda: hostile.flate_bomb(1, 3), {"damaged", "too_large"}),
    "expansion": (hostile.expansion, {"damaged", "too_large", "scanned", "read"}),
    "xref cycle": (hostile.xref_cycle, {"damaged", "read"}),
    "page cycle": (hostile.page_cycle, {"damaged", "scanned"}),
    "deep arrays": (hostile.deep_arrays, {"damaged", "scanned"}),
    "same page": (hostile.same_page, {"too_large"}),
    "outline": (hostile.endless_outline, {"damaged", "read"}),
    "truncated": (lambda: hostile.written("a b c")[:400], {"damaged"}),
    "header only": (lambda: b"%PDF-1.7\n", {"damaged"}),
    "password": (lambda: hostile.encrypted("secret"), {"encrypted"}),
    "no password": (lambda: hostile.encrypted(""), {"read"}),
    "pictures": (hostile.image_only, {"scanned"}),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_f95_hostile_pdfs_end_in_a_typed_result(extractor, name):
    make, expected = HOSTILE[name]
    data = await asyncio.to_thread(make)
    lags = []
    watching = asyncio.create_task(watch(lags))
    assert await outcome_of(extractor, data) in expected
    watching.cancel()
    good = await extractor.extract(hostile.written("Still here"), "pdf", unheard)
    assert good.pages == ("Still here",)
    assert lags  # the loop went on turning meanwhile


async def watch(lags):
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - before)


async def test_f95_an_endless_outline_is_cut(extractor):
    got = await extractor.extract(hostile.endless_outline(20_000), "pdf", unheard)
    assert len(got.outline) == 5_000


async def test_f95_limits_of_pages_and_characters_are_told():
    small = Extractor(**(LIMITS | {"max_pages": 2, "max_chars": 50}))
    assert await problem_of(small, hostile.written("a", "b", "c")) == "too_large"
    assert await problem_of(small, b"word " * 20, "text") == "too_large"
    await small.aclose()


CHILDREN = {
    "crash": "import ctypes; ctypes.string_at(0)",
    "hang": "import time; time.sleep(1000)",
    "spin": "while True: pass",
    "flood": "import os\nwhile True: os.write(1, b'\\0\\0\\xff\\xff' + b'x' * 65535)",
    "large frame": "import os; os.write(1, b'\\xff' * 4)\nwhile True: os.write(1, b'x' * 65536)",
    "nonsense": "import os; os.write(1, b'\\0\\0\\0\\4abcd')\nwhile True: pass",
    "quit": "pass",
    "stderr": "import os\nfor _ in range(100): os.write(2, b'x' * 2**20)",
}


@pytest.mark.parametrize("name", CHILDREN)
async def test_f96_a_failing_child_harms_nobody(name):
    options = LIMITS | {"wall_s": 1.0, "max_chars": 10_000}
    bad = Extractor(**options, command=[sys.executable, "-I", "-c", CHILDREN[name]])
    asks = [problem_of(bad, b"%PDF-1.4" + b"x" * 2**20) for _ in range(4)]
    assert await asyncio.gather(*asks) == ["damaged"] * 4
    await bad.aclose()


async def test_f96_the_pool_is_refilled_after_a_kill(extractor):
    await extractor.extract(b"one", "text", unheard)
    spare = await extractor._spare
    spare.kill()
    await spare.wait()
    assert (await extractor.extract(b"two", "text", unheard)).pages == ("two",)


async def test_f96_a_cancelled_reading_is_killed():
    hung = Extractor(**LIMITS, command=[sys.executable, "-I", "-c", CHILDREN["hang"]])
    reading = asyncio.create_task(hung.extract(b"x" * 2**22, "text", unheard))
    await asyncio.sleep(0.3)  # long enough to be at it; the outcome is the same if it is not
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await hung.aclose()
    assert not hung._endings


TRIES = """
import json, os, sys
sys.path.append(sys.argv[1])
import ctypes, socket, subprocess
from server.manuals.extraction import sandbox, seccomp
sandbox.limit(cpu_s=5, memory_bytes=2**30)
layer = sys.argv[2]
if layer == "both":
    sandbox.enter()
elif layer == "kernel":
    assert seccomp.install()
else:
    sys.addaudithook(sandbox._refuse)
def write(): open(sys.argv[3], "w")
def create(): os.open(sys.argv[3], os.O_CREAT | os.O_WRONLY)
def connect(): socket.create_connection(("127.0.0.1", int(sys.argv[4])), 1)
def datagram(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
def run(): subprocess.run(["true"])
def execute(): os.execv("/bin/true", ["true"])
def fork(): os._exit(0) if os.fork() == 0 else None
def remove(): os.remove(sys.argv[5])
said = {}
for act in (write, create, connect, datagram, run, execute, fork, remove):
    try:
        act()
        said[act.__name__] = "done"
    except OSError as error:
        said[act.__name__] = type(error).__name__
said["read"] = open(sys.argv[5]).read()
print(json.dumps(said))
"""


@pytest.mark.parametrize("layer", ["both", "kernel", "python"])
def test_f97_the_sandbox_refuses_network_writing_and_programs(layer, tmp_path, free_port):
    kept = tmp_path / "kept"
    kept.write_text("kept")
    command = [sys.executable, "-I", "-c", TRIES, str(ROOT), layer, str(tmp_path / "new")]
    done = subprocess.run(
        [*command, str(free_port), str(kept)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("read") == "kept"
    assert set(said.values()) == {"PermissionError"}, said
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_f97_scripts_and_references_are_never_followed(extractor):
    hits = []

    async def canary(reader, writer):
        hits.append(1)
        writer.close()

    server = await asyncio.start_server(canary, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    outcomes = [await outcome_of(extractor, data) for data in hostile.calling_out(url)]
    page = f"<html><img src='{url}'><script src='{url}'></script><iframe src='{url}'></iframe><p>a"
    assert (await extractor.extract(page.encode(), "html", unheard)).pages == ("a",)
    server.close()
    assert outcomes == ["read", "read", "scanned", "scanned"]
    assert hits == []


async def test_f98_ten_thousand_pages_are_read_and_reported(extractor):
    texts = [f"Page {number} tells about setting {number}" for number in range(10_000)]
    data = await asyncio.to_thread(hostile.written, *texts)
    seen = []
    got = await extractor.extract(data, "pdf", lambda *report: seen.append(report))
    assert list(got.pages) == texts
    assert seen == [(number, 10_000) for number in range(1, 10_001)]


async def test_f98_five_million_characters_are_read(extractor):
    text = "A setting is changed with the knob.\n\n" * 135_000
    got = await extractor.extract(text.encode(), "text", unheard)
    assert sum(map(len, got.pages)) > 4_900_000
    assert max(map(len, got.pages)) <= 3_100
