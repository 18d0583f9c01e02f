"""A client that asks and then reads nothing, for as long as the test holds its socket."""

from __future__ import annotations

import json
import socket
import struct

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WAIT_S = 20.0


def masked(event: dict) -> bytes:
    """The event as a client's frame, masked with nothing."""
    text = json.dumps(event).encode()
    length = (
        bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack(">H", len(text))
    )
    return b"\x81" + length + b"\0\0\0\0" + text


def read_event(sock: socket.socket) -> dict:
    """The next frame of the server, whole."""
    head = _read(sock, 2)
    length = head[1]
    if length == 126:
        length = struct.unpack(">H", _read(sock, 2))[0]
    return json.loads(_read(sock, length))


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data)) or _ended()
    return data


def _ended() -> bytes:
    raise EOFError("the server closed")


def stall(port: int, question: str, receive_bytes: int = 4096) -> socket.socket:
    """Connect, ask, and read no further than the handshake; the socket is the caller's to close."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(WAIT_S)
    sock.connect(("127.0.0.1", port))
    sock.sendall(UPGRADE.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    sock.sendall(masked({"type": "response.create", "input": question, "product_id": "td-17"}))
    return sock
