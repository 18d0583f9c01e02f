"""Frames written without waiting are those that any WebSocket client reads."""

import pytest
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from server.deadlines import TextWriter


class Transport:
    """Keeps what is written."""

    def __init__(self):
        self.written = b""
        self.closing = False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closing


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_frame_of_any_size_is_read_by_a_client(size):
    transport = Transport()
    text = b"x" * size
    assert TextWriter(transport).write(text)
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(transport.written)
    [frame] = client.events_received()
    assert frame.opcode is Opcode.TEXT
    assert frame.fin
    assert frame.data == text


def test_nothing_is_written_to_a_socket_that_is_full_or_closing():
    transport = Transport()
    writer = TextWriter(transport)
    writer.is_open = False
    assert not writer.write(b"text")
    writer.is_open = True
    transport.closing = True
    assert not writer.write(b"text")
    assert transport.written == b""
