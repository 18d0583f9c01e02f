"""The proxy of the fault tests does what it says: measured at both of its ends."""

import contextlib
import socket
import threading
import time

import pytest
from toxic_proxy import CHUNK_BYTES, IN_FLIGHT, Proxy
from toxics import (
    Bandwidth,
    BlackHole,
    Latency,
    LimitData,
    LoseReply,
    ResetPeer,
    Slicer,
    SlowClose,
)

WAIT_S = 20.0
SHORT_S = 0.15  # long enough to tell from none on a busy machine


class Target:
    """A server whose end of each connection the test holds."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(WAIT_S)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        end, _ = self.listener.accept()
        end.settimeout(WAIT_S)
        return end


@pytest.fixture
def target():
    made = Target()
    with made.listener:
        yield made


@pytest.fixture
def proxy(target):
    with Proxy(target.port) as made:
        yield made


@contextlib.contextmanager
def joined(proxy, target):
    """The client's and the server's end of a connection through the proxy."""
    with (
        socket.create_connection(("127.0.0.1", proxy.port), WAIT_S) as client,
        target.accept() as server,
    ):
        yield client, server


def read(end, size):
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        assert more, f"ended after {len(data)} of {size} bytes"
        data += more
    return data


def is_silent(end, for_s=SHORT_S):
    end.settimeout(for_s)
    try:
        end.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        end.settimeout(WAIT_S)
    return False


def until_reset(end):
    """What was read before the reset that must come."""
    data = b""
    try:
        while more := end.recv(1):
            data += more
    except ConnectionResetError:
        return data
    pytest.fail("it was closed without a reset")


def gone(end):
    """How the connection ended for this end: "closed" or "reset"."""
    try:
        assert end.recv(1) == b""
    except ConnectionResetError:
        return "reset"
    return "closed"


def test_without_toxics_bytes_and_ends_pass_both_ways(proxy, target):
    data = bytes(range(256)) * 4096
    with joined(proxy, target) as (client, server):
        sending = threading.Thread(target=client.sendall, args=(data,))
        sending.start()
        assert read(server, len(data)) == data
        sending.join()
        client.shutdown(socket.SHUT_WR)
        assert gone(server) == "closed"
        server.sendall(b"after the other's end")
        assert read(client, 21) == b"after the other's end"
        server.close()
        assert gone(client) == "closed"
    assert proxy.accepted == 1


def test_latency_delays_each_way_and_keeps_the_order(proxy, target):
    proxy.add(Latency(SHORT_S, SHORT_S / 2), towards="server")
    with joined(proxy, target) as (client, server):
        began = time.monotonic()
        for number in range(20):
            client.sendall(bytes([number]))
            time.sleep(0.002)
        assert read(server, 1) == b"\0"
        assert time.monotonic() - began >= SHORT_S / 2
        assert read(server, 19) == bytes(range(1, 20))
        server.sendall(b"back")
        assert read(client, 4) == b"back"


def test_bandwidth_bounds_the_rate(proxy, target):
    proxy.add(Bandwidth(20_000))
    with joined(proxy, target) as (client, server):
        began = time.monotonic()
        client.sendall(b"x" * 6000)
        read(server, 6000)
        assert time.monotonic() - began >= 0.2


def test_a_slicer_cuts_and_pauses(proxy, target):
    proxy.add(Slicer(1, 0.02), towards="client")
    with joined(proxy, target) as (client, server):
        server.sendall(b"abcd")
        began = time.monotonic()
        assert client.recv(100) == b"a"
        assert read(client, 3) == b"bcd"
        assert time.monotonic() - began >= 0.03


def test_a_slow_close_delays_the_end_only(proxy, target):
    proxy.add(SlowClose(SHORT_S))
    with joined(proxy, target) as (client, server):
        server.sendall(b"x")
        server.close()
        began = time.monotonic()
        assert read(client, 1) == b"x"
        assert gone(client) == "closed"
        assert time.monotonic() - began >= SHORT_S * 0.9


def test_a_black_hole_holds_bytes_and_ends_until_it_is_healed(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.add(BlackHole())
        server.sendall(b"held")
        server.close()
        assert is_silent(client)
        proxy.clear()
        assert read(client, 4) == b"held"
        assert gone(client) == "closed"


def test_a_black_hole_of_one_direction_leaves_the_other(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.add(BlackHole(), towards="server")
        server.sendall(b"through")
        assert read(client, 7) == b"through"
        client.sendall(b"held")
        assert is_silent(server)


def test_a_black_hole_with_an_end_closes(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.add(BlackHole(after_s=0.05))
        server.sendall(b"never")
        assert gone(client) == "closed"


def test_back_pressure_reaches_the_sender(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.add(BlackHole())
        client.setblocking(False)
        sent, deadline = 0, time.monotonic() + 0.5
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                sent += client.send(b"x" * CHUNK_BYTES)
        # Kernel buffers of two sockets and what the proxy holds, not the gigabytes tried.
        assert sent < 32 * 2**20 + CHUNK_BYTES * (IN_FLIGHT + 2)
        proxy.clear()
        assert read(server, sent) == b"x" * sent


def test_reset_peer_resets_both_ends(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.add(ResetPeer())
        client.sendall(b"x")
        assert gone(client) == "reset"
        assert gone(server) == "reset"


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("limit", [0, 1, 5, 6])
def test_limit_data_cuts_at_the_byte(proxy, target, limit, then):
    proxy.add(LimitData(limit, then), towards="client")
    with joined(proxy, target) as (client, server):
        server.sendall(b"abcdef")
        if then == "close":  # a reset may overtake bytes that were not read yet
            assert read(client, limit) == b"abcdef"[:limit]
            assert gone(client) == "closed"
        else:
            assert b"abcdef"[:limit].startswith(until_reset(client))


def test_limit_data_may_hold_for_ever(proxy, target):
    proxy.add(LimitData(2, "hold"), towards="client")
    with joined(proxy, target) as (client, server):
        server.sendall(b"abcdef")
        assert read(client, 2) == b"ab"
        assert is_silent(client)


def test_a_lost_reply_was_asked_for(proxy, target):
    proxy.add(LoseReply(b"XADD"), towards="server")
    for lost in (True, False):
        with joined(proxy, target) as (client, server):
            client.sendall(b"PING")
            assert read(server, 4) == b"PING"
            server.sendall(b"PONG")
            assert read(client, 4) == b"PONG"
            client.sendall(b"*3 XADD log")
            assert read(server, 11) == b"*3 XADD log"
            server.sendall(b"+OK")
            if lost:
                assert gone(client) == "reset"
            else:
                assert read(client, 3) == b"+OK"
    assert proxy.lost_replies == 1


def test_down_resets_and_refuses_and_up_listens_again(proxy, target):
    with joined(proxy, target) as (client, server):
        proxy.down()
        assert gone(client) == "reset"
        assert gone(server) == "reset"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), WAIT_S)
    proxy.up()
    with joined(proxy, target) as (client, server):
        server.sendall(b"x")
        assert read(client, 1) == b"x"


def test_all_connections_can_be_reset_and_new_ones_made(proxy, target):
    with joined(proxy, target) as (one, _), joined(proxy, target) as (other, _):
        assert proxy.connections == 2
        proxy.reset_all()
        assert gone(one) == gone(other) == "reset"
        assert proxy.connections == 0
    with joined(proxy, target) as (client, server):
        client.sendall(b"x")
        assert read(server, 1) == b"x"


def test_who_cannot_be_reached_is_a_reset(free_port):
    with Proxy(free_port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.settimeout(WAIT_S)
        assert gone(client) == "reset"
