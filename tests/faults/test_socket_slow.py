"""Clients that do not read, or are not there any more."""

import json
import socket
from pathlib import Path

import httpx
import pytest
from processes import wait_until
from wire import open_client

MIB = 2**20


@pytest.fixture(scope="module")
def target(server):
    return server(slow_client_s="0.2", send_buffer_bytes="4096", max_frames_per_s="1000000")


def sockets_of(target):
    """How many sockets the server holds."""
    folder = Path("/proc") / str(target.process.pid) / "fd"
    links = []
    for entry in folder.iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sum(link.startswith("socket:") for link in links)


def slow_clients(target):
    text = httpx.get(f"{target.url}/metrics", trust_env=False).text
    [line] = [one for one in text.splitlines() if one.startswith("manicule_slow_clients_total ")]
    return float(line.split()[1])


def masked(kind):
    text = json.dumps({"type": kind}).encode()
    return bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text


def stop_reading(target):
    """A socket that has asked for much and reads none of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", target.port))
    sock.sendall(
        (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    sock.settimeout(20)
    frames = (masked("nope") + masked("ping")) * 50
    try:
        for _ in range(100):
            sock.sendall(frames)
    except OSError:
        pass  # closed by the server
    return sock


async def test_f63_a_client_that_reads_nothing_is_closed_and_leaves_nothing_behind(target):
    wait_until(lambda: "manuals_warmed" in target.log(), "the end of the warming")
    async with open_client(target.url) as bystander:
        before, memory = sockets_of(target), target.rss_bytes()
        with stop_reading(target), stop_reading(target):
            wait_until(lambda: slow_clients(target) == 2, "the closing of slow clients")
            assert target.rss_bytes() - memory <= 4 * MIB
            # The clients still hold their ends open; the server does not.
            wait_until(lambda: sockets_of(target) <= before, "the end of their sockets")
        await bystander.ask(event_id="q")
        assert (await bystander.final("q"))["status"] == "completed"
    assert "Traceback" not in target.log()
