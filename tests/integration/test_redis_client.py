"""The client against real servers: bounded in time, in connections, and in patience."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis_servers import PATIENT_S

from server.storage.breaker import BreakerState
from server.storage.faults import StorageError
from server.storage.redis_client import RedisClient
from server.storage.redis_opening import split_url


async def until(check, bound_s: float = 10.0):
    deadline = time.monotonic() + bound_s
    while not await check():
        assert time.monotonic() < deadline, "the awaited state did not come"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "plain", "cluster"),
    [
        ("redis://h:1/0", "redis://h:1/0", False),
        ("rediss://u:p@h:1/0", "rediss://u:p@h:1/0", False),
        ("redis+cluster://h:1", "redis://h:1", True),
        ("rediss+cluster://u:p%40@h", "rediss://u:p%40@h", True),
        (
            "redis://h?cluster=true&health_check_interval=3",
            "redis://h?health_check_interval=3",
            True,
        ),
        ("redis://h?cluster=false", "redis://h", False),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1", False),
    ],
)
def test_reads_the_url(url, plain, cluster):
    assert split_url(url) == (plain, cluster)


@pytest.mark.parametrize(
    "url", ["http://h", "redis+cluster://h/3", "redis://h:port", "", "redis://h?socket_timeout=x"]
)
async def test_refuses_a_url_that_is_none(url):
    with pytest.raises(ValueError):
        RedisClient(url)


async def test_never_opens_more_connections_than_allowed(redis_server):
    server = redis_server()
    client = RedisClient(server.url, timeout_s=PATIENT_S, max_connections=4)
    await asyncio.gather(*(client.call("SET", f"k{n}", n) for n in range(500)))
    assert len(server.run("CLIENT", "LIST", raw=True).splitlines()) <= 4 + 1
    await client.aclose()


async def test_f55_a_server_that_is_away_fails_at_once_and_recovers_alone(redis_server):
    server = redis_server()
    client = RedisClient(server.url)
    assert await client.call("SET", "a", 1)
    server.stop()
    for _ in range(200):
        with pytest.raises(StorageError):
            await client.call("GET", "a")
    assert client.breaker.state is BreakerState.OPEN
    server.start()

    async def answers():
        try:
            return await client.call("PING")
        except StorageError:
            return False

    await until(answers)
    assert client.breaker.state is BreakerState.CLOSED
    await client.aclose()


async def test_f55_a_restart_between_two_commands_is_not_noticed(redis_server):
    server = redis_server()
    client = RedisClient(server.url, timeout_s=PATIENT_S)
    await asyncio.gather(*(client.call("SET", f"k{n}", n) for n in range(20)))
    await asyncio.to_thread(server.restart)
    assert await client.call("SET", "a", 1)
    await client.aclose()


async def test_f55_a_silent_server_costs_one_timeout(redis_server):
    server = redis_server()
    faults = []
    client = RedisClient(server.url, timeout_s=0.2, on_fault=faults.append)
    assert await client.call("SET", "a", 1)
    server.process.send_signal(19)  # SIGSTOP
    for _ in range(50):
        with pytest.raises(StorageError):
            await client.call("GET", "a")
    tries = [kind for kind in faults if kind == "timeout"]
    # One for the first command, and one for each time that the breaker had cooled meanwhile.
    assert 1 <= len(tries) <= 3
    server.process.send_signal(18)  # SIGCONT

    async def answers():
        try:
            return await client.call("GET", "a") == b"1"
        except StorageError:
            return False

    await until(answers)
    await client.aclose()


async def test_a_cancelled_call_leaves_no_reply_behind(redis_server):
    server = redis_server()
    client = RedisClient(server.url, timeout_s=PATIENT_S, max_connections=1)
    await client.call("SET", "a", "first")
    server.process.send_signal(19)  # SIGSTOP
    call = asyncio.create_task(client.call("GET", "a"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):  # by then it has been sent
            await asyncio.shield(call)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    server.process.send_signal(18)  # SIGCONT
    assert await client.call("SET", "b", "second")
    assert await client.call("GET", "b") == b"second"
    await client.aclose()


async def test_a_pipeline_puts_errors_in_their_place(redis_url):
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    await client.call("SET", "a", "text")
    replies = await client.pipeline([("GET", "a"), ("LLEN", "a"), ("EXISTS", "b")])
    assert replies[0] == b"text"
    assert replies[1].kind == "wrong_type"
    assert replies[2] == 0
    await client.aclose()


async def test_a_transport_that_closes_under_a_command_is_a_lost_connection(redis_url, monkeypatch):
    """What uvloop raises then is no error of Redis' client, and nobody's fault here."""
    client = RedisClient(redis_url, timeout_s=PATIENT_S)
    said = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"

    async def lose(*command):
        raise RuntimeError(said)

    with monkeypatch.context() as patched:
        patched.setattr(client._client, "execute_command", lose)
        with pytest.raises(StorageError) as caught:
            await client.call("PING")
        assert caught.value.kind == "unreachable"
    assert await client.call("PING")

    async def fail(*command):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(client._client, "execute_command", fail)
    with pytest.raises(RuntimeError, match="ours"):
        await client.call("PING")
    await client.aclose()
