"""How many sockets one address may open and one person may hold: exactly so many."""

import asyncio
import contextlib

import pytest
from credentials import GOOD, NOW, SECRET, token
from rig import Rig, serving
from websockets.exceptions import InvalidStatus
from wire import open_client

from protocol.errors import EventError
from server.endpoints.doorkeeper import MAX_ADDRESSES, Doorkeeper


def test_places_are_taken_and_given_back():
    doors = Doorkeeper(per_address=2, per_user=1)
    first, second = doors.enter("a"), doors.enter("a")
    with pytest.raises(EventError, match="trusted proxies"):
        doors.enter("a")
    other = doors.enter("b")
    doors.recognise(first, "ada")
    doors.recognise(first, "ada")  # a fresh token of the same person
    with pytest.raises(EventError, match="of yours"):
        doors.recognise(other, "ada")
    doors.recognise(first, "grace")
    doors.recognise(other, "ada")
    assert doors.inside == 3
    for visit in (first, second, other):
        doors.leave(visit)
    assert doors.inside == 0
    assert not doors._of_address
    assert not doors._of_user


def test_f69_a_flood_is_held_to_the_rate_and_others_are_not():
    doors = Doorkeeper(handshakes_per_minute=600)
    taken = 0
    for thousandth in range(20_000):  # 2,000 a second for ten seconds
        with contextlib.suppress(EventError):
            doors.knock("flood", thousandth / 2_000)
            taken += 1
    assert 600 + 99 <= taken <= 600 + 100
    doors.knock("somebody", 10.0)
    with pytest.raises(EventError) as caught:
        doors.knock("flood", 10.0)
    assert caught.value.code == "rate_limited"
    assert 0 < caught.value.retry_after_ms <= 101


def test_f69_a_flood_from_many_addresses_takes_bounded_memory():
    doors = Doorkeeper()
    for number in range(MAX_ADDRESSES + 1000):
        doors.knock(str(number), 0.0)
    assert len(doors._buckets) == MAX_ADDRESSES


async def opened(url, count, **options):
    """Try to open so many sockets at once; the statuses of the refused ones, and who holds them."""
    stack = contextlib.AsyncExitStack()

    async def one():
        try:
            await stack.enter_async_context(open_client(url, **options))
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101

    statuses = await asyncio.gather(*(one() for _ in range(count)))
    return statuses, stack


async def test_f69_the_cap_of_an_address_is_exact():
    async with Rig() as rig, serving(rig) as url:
        rig.node.doors = Doorkeeper(per_address=7)
        statuses, stack = await opened(url, 30)
        async with stack:
            assert sorted(statuses) == [101] * 7 + [429] * 23
        statuses, stack = await opened(url, 7)  # their places are free again
        async with stack:
            assert statuses == [101] * 7


async def test_f69_the_cap_of_a_process_is_exact():
    async with Rig(max_connections=5) as rig, serving(rig) as url:
        statuses, stack = await opened(url, 20)
        async with stack:
            assert sorted(statuses) == [101] * 5 + [503] * 15


async def test_f69_the_cap_of_a_person_is_exact_however_they_say_who_they_are():
    header = {"Authorization": f"Bearer {token()}"}
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        rig.node.doors = Doorkeeper(per_user=3)
        statuses, stack = await opened(url, 10, additional_headers=header)
        async with stack:
            assert sorted(statuses) == [101] * 3 + [429] * 7
            async with open_client(url) as late:
                await late.send("session.update", token=token(), event_id="t")
                error = await late.until("error")
                assert error["error"]["code"] == "rate_limited"
                assert (await late.closed())[0] == 4429
            other = token(GOOD | {"sub": "grace"})
            async with open_client(url, additional_headers={"Authorization": f"Bearer {other}"}):
                pass


async def test_f69_a_flood_of_handshakes_is_told_to_wait():
    async with Rig() as rig, serving(rig) as url:
        rig.node.doors = Doorkeeper(handshakes_per_minute=20)
        statuses, stack = await opened(url, 60)
        async with stack:
            assert statuses.count(101) in (20, 21)
            assert set(statuses) == {101, 429}
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url):
                pass
        assert int(caught.value.response.headers["retry-after"]) >= 1
