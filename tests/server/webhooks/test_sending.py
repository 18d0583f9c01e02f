"""Deliveries to a real HTTP server: signed, bounded in time and bytes, to allowed addresses."""

import asyncio
import time

import pytest
from feedback_rig import until
from receiver import OLD_SECRET, SECRET, status

from server.webhooks.endpoints import Endpoint
from server.webhooks.sending import MAX_RETRY_AFTER_S, Sender
from server.webhooks.signing import read_key

KEYS = (read_key(SECRET), read_key(OLD_SECRET))
NOW_S = 1_795_255_200.75


@pytest.fixture
async def sender():
    made = Sender(allow_http=True, allow_private=True, timeout_s=5)
    yield made
    await made.aclose()


def to(url):
    return Endpoint("a", url, KEYS)


async def send(sender, url, body=b'{"type":"x"}'):
    return await sender.send(to(url), "msg_1", body, now_s=NOW_S)


async def test_a_delivery_is_signed_over_what_is_sent(sender, receiver):
    reply = await send(sender, receiver.url + "?token=t", '{"a": "é"}'.encode())
    assert reply.taken
    [got] = receiver.requests
    assert got.line == "POST /hooks?token=t HTTP/1.1"
    assert got.body == '{"a": "é"}'.encode()
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (got.id, got.headers["webhook-timestamp"]) == ("msg_1", "1795255200")
    assert got.signed_with(SECRET)
    assert got.signed_with(OLD_SECRET)
    assert not got.signed_with("whsec_" + "A" * 32)


@pytest.mark.parametrize(
    ("code", "taken", "gone"),
    [
        *((200, True, False), (202, True, False), (299, True, False), (400, False, False)),
        *((404, False, False), (410, False, True), (500, False, False), (503, False, False)),
    ],
)
async def test_a_status_says_whether_it_was_taken(sender, receiver, code, taken, gone):
    receiver.answer = lambda request: status(code)
    reply = await send(sender, receiver.url)
    assert (reply.taken, reply.gone, str(reply)) == (taken, gone, f"HTTP {code}")


async def test_no_redirect_is_followed(sender, receiver):
    receiver.answer = lambda request: status(307, f"location: {receiver.url}/other")
    assert not (await send(sender, receiver.url)).taken
    assert len(receiver.requests) == 1


async def test_a_receiver_that_says_nothing_is_left_at_the_deadline(receiver):
    receiver.answer = lambda request: None
    sender = Sender(allow_http=True, allow_private=True, timeout_s=0.2)
    begun = time.monotonic()
    reply = await send(sender, receiver.url)
    assert time.monotonic() - begun < 5
    assert (reply.taken, str(reply)) == (False, "no answer in 0.2 s")
    await sender.aclose()


async def test_an_endless_answer_is_not_read(sender, receiver):
    written = 0

    async def flood(request):
        nonlocal written
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"
        [writer] = receiver._connections
        writer.write(head)
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    receiver.answer = flood
    assert (await send(sender, receiver.url)).taken
    await until(lambda: not receiver._connections)
    assert written < 64 * 2**20


async def test_an_endless_head_is_refused(sender, receiver):
    receiver.answer = lambda request: b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000
    reply = await send(sender, receiver.url)
    assert not reply.taken
    assert "connection broke" in str(reply)


async def test_a_connection_that_breaks_is_a_reply_of_ours(sender, receiver):
    receiver.answer = lambda request: b""
    assert not (await send(sender, receiver.url)).taken
    await receiver.stop()
    assert str(await send(sender, receiver.url)).startswith("no connection")


@pytest.mark.parametrize(
    ("header", "asked_s"),
    [
        *(("retry-after: 7", 7), ("retry-after: 99999999", MAX_RETRY_AFTER_S)),
        *(("retry-after: soon", 0), ("retry-after: -5", 0), ("retry-after: ²", 0)),
    ],
)
async def test_a_wish_for_patience_is_heard_within_bounds(sender, receiver, header, asked_s):
    receiver.answer = lambda request: status(503, header).replace("²".encode(), b"\xb2")
    assert (await send(sender, receiver.url)).retry_after_s == asked_s


async def test_no_packet_reaches_a_private_address(receiver):
    sender = Sender(allow_http=True, allow_private=False)
    for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]"):
        reply = await send(sender, f"http://{host}/")
        assert str(reply).startswith("the address has a host whose address is not public")
    assert not (await send(sender, receiver.url)).taken
    assert receiver.requests == []
    await sender.aclose()


async def test_the_cloud_s_metadata_stays_shut_even_in_an_intranet(sender):
    reply = await send(sender, "http://169.254.169.254/latest")
    assert "not public" in str(reply)


async def test_a_name_that_changes_its_address_meanwhile_is_refused(receiver):
    answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]

    async def resolver(host, port):
        return answers.pop(0)

    sender = Sender(allow_http=True, allow_private=False, resolver=resolver)
    for _ in range(2):
        assert "not public" in str(await send(sender, "http://hooks.example.com/"))
    assert receiver.requests == []
    await sender.aclose()


async def test_a_private_name_is_reached_where_that_is_allowed(receiver):
    async def resolver(host, port):
        await asyncio.sleep(0)
        return ["127.0.0.1"]

    sender = Sender(allow_http=True, allow_private=True, resolver=resolver)
    assert (await send(sender, f"http://hooks.intranet:{receiver.port}/")).taken
    await sender.aclose()
