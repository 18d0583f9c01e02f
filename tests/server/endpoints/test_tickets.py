"""Tickets: once, in time, for who asked for it, and never in anything that is kept."""

import asyncio
import base64
import time
from contextlib import AsyncExitStack

import msgspec
import pytest
from credentials import GOOD, NOW, SECRET, token
from redis_servers import PATIENT_S
from rest import API_KEYS, KEYS, http, refused
from rig import Rig, serving
from websockets.exceptions import InvalidStatus
from wire import open_client

from protocol.errors import EventError
from server.endpoints.roles import Principal
from server.endpoints.tickets import TTL_S, Tickets, is_ticket
from server.storage.once import MemoryOnce, RedisOnce
from server.storage.redis_client import RedisClient

ADA = Principal("token-1", "annotator", "acme", "ada", NOW + 999, NOW, "jti-1", "secret")


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tickets(clock):
    return Tickets(b"a secret of the fleet", MemoryOnce(clock), clock)


async def test_a_ticket_is_its_principal_once(tickets):
    ticket = tickets.write(ADA)
    assert is_ticket(ticket)
    assert ticket.isascii()
    assert len(ticket) < 600
    assert await tickets.redeem(ticket) == ADA
    assert await tickets.redeem(ticket) is None
    assert tickets.write(ADA) != ticket


async def test_f72_a_ticket_ends(tickets, clock):
    ticket = tickets.write(ADA)
    clock.now += TTL_S
    assert await tickets.redeem(ticket) is None


async def test_f72_a_changed_ticket_is_nobodys(tickets, clock):
    """Not one character may differ, and no other secret of the server signs tickets."""
    ticket = tickets.write(ADA)
    body, _, signature = ticket.removeprefix("mt1.").partition(".")
    raw = base64.urlsafe_b64decode(body + "==")
    assert b'"ada"' in raw
    forged = base64.urlsafe_b64encode(raw.replace(b"ada", b"eve")).rstrip(b"=").decode()
    other = Tickets(b"another secret", MemoryOnce(clock), clock)
    bad = [
        f"mt1.{forged}.{signature}",
        other.write(ADA),
        "mt1.",
        "mt1..",
        f"mt1.{body}.",
        "mt1.é.ü",
    ]
    bad += [ticket[:at] + "~" + ticket[at + 1 :] for at in range(4, len(ticket))]
    bad += [ticket + "=", ticket + "\n", ticket[:-1]]
    for text in bad:
        assert await tickets.redeem(text) is None, text
    assert await tickets.redeem(ticket) == ADA


async def test_f72_one_of_fifty_uses_at_once_on_two_nodes_wins(redis_url):
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(2):
            client = RedisClient(redis_url, timeout_s=PATIENT_S)
            stack.push_async_callback(client.aclose)
            nodes.append(Tickets(b"fleet", RedisOnce(client), time.time))
        for _ in range(10):
            ticket = nodes[0].write(ADA)
            found = await asyncio.gather(*(nodes[n % 2].redeem(ticket) for n in range(50)))
            assert [one for one in found if one is not None] == [ADA]


async def test_f72_a_ticket_is_not_taken_while_its_use_cannot_be_noted(free_port):
    client = RedisClient(f"redis://127.0.0.1:{free_port}/0")
    tickets = Tickets(b"fleet", RedisOnce(client), time.time)
    with pytest.raises(EventError) as caught:
        await tickets.redeem(tickets.write(ADA))
    assert caught.value.code == "store_unavailable"
    assert caught.value.retryable
    await client.aclose()


async def fetch(url, key=KEYS["user"]) -> str:
    async with http(url, key) as client:
        response = await client.post("/v1/tickets")
        assert response.status_code == 201
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["expires_in_s"] == 30
        return response.json()["ticket"]


def with_ticket(url, ticket, **options):
    address = f"{url.replace('http', 'ws', 1)}/ws?ticket={ticket}"
    return open_client(url, address=address, **options)


async def denied(opening) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with opening:
            pass
    return caught.value.response.status_code


async def test_a_ticket_opens_a_socket_in_the_address_or_in_the_first_message():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        async with with_ticket(url, await fetch(url)) as client:
            await client.ask(event_id="q")
            assert (await client.final("q"))["status"] == "completed"
        async with open_client(url) as client:
            await client.send("session.update", token=await fetch(url), event_id="t")
            await client.send("catalog.search", query="td", event_id="s")  # does not wait for it
            await client.until("session.updated")
            assert (await client.until("catalog.results"))["event_id"] == "s"


async def test_on_a_server_without_keys_a_ticket_does_no_harm():
    async with Rig() as rig, serving(rig) as url, with_ticket(url, "mt1.x.y") as client:
        await client.send("ping")
        await client.until("pong")


async def test_f72_reused_expired_and_foreign_tickets_are_401_or_4401():
    async with Rig(api_keys=API_KEYS, jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        rig.node.tickets = Tickets(b"s" * 32, MemoryOnce(), lambda: rig.now)
        used, late = await fetch(url), await fetch(url)
        async with with_ticket(url, used):
            pass
        assert await denied(with_ticket(url, used)) == 401
        assert await denied(with_ticket(url, "mt1.forged.ticket")) == 401
        assert await denied(with_ticket(url, KEYS["user"])) == 401, "a key is no ticket"
        assert await denied(with_ticket(url, token())) == 401, "nor is a token"
        headers = {"Authorization": f"Bearer {KEYS['viewer']}"}
        foreign = await fetch(url)
        assert await denied(with_ticket(url, foreign, additional_headers=headers)) == 401
        rig.now += TTL_S
        assert await denied(with_ticket(url, late)) == 401
        for bad in (used, late, foreign):
            async with open_client(url) as client:
                await client.send("session.update", token=bad, event_id="t")
                assert (await client.error("t"))["code"] == "unauthorized"
                assert (await client.closed())[0] == 4401
        async with http(url) as client:
            refused(await client.post("/v1/tickets"), "unauthorized")
            fresh = await fetch(url)
            bearer = {"authorization": f"Bearer {fresh}"}
            refused(await client.post("/v1/tickets", headers=bearer), "unauthorized")


async def test_f72_one_socket_opens_of_fifty_with_one_ticket():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        ticket = await fetch(url)

        async def attempt():
            try:
                async with with_ticket(url, ticket):
                    return 101
            except InvalidStatus as error:
                return error.response.status_code

        statuses = await asyncio.gather(*(attempt() for _ in range(50)))
        assert sorted(statuses) == [101] + [401] * 49


async def test_f72_a_ticket_of_somebody_who_was_revoked_meanwhile_is_refused():
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        ticket = await fetch(url, token(GOOD | {"exp": NOW + 5}))
        rig.now += 6
        assert await denied(with_ticket(url, ticket)) == 401


async def test_s2_a_socket_does_not_change_hands():
    """What runs on it is of who came first; a fresh token of the same person is taken."""
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        for claims in ({"sub": "eve"}, {"tenant": "zenith"}):
            headers = {"Authorization": f"Bearer {token()}"}
            async with open_client(url, additional_headers=headers) as client:
                await client.send("session.update", token=token(GOOD | {"exp": NOW + 90}))
                await client.until("session.updated")
                await client.send("session.update", token=token(GOOD | claims), event_id="t")
                assert (await client.error("t"))["code"] == "unauthorized"
                assert (await client.closed())[0] == 4401


@pytest.mark.parametrize(
    "name", ["token", "key", "api_key", "access_token", "Authorization", "jwt"]
)
async def test_s2_a_key_or_token_in_an_address_is_refused_with_what_to_do(name):
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, http(url) as client:
        headers = {"Authorization": f"Bearer {KEYS['admin']}"}
        address = f"{url.replace('http', 'ws', 1)}/ws?{name}={KEYS['admin']}"
        opening = open_client(url, address=address, additional_headers=headers)
        assert await denied(opening) == 400
        path = f"/api/rlhf/statistics/acceptance-rate?{name}={KEYS['admin']}"
        error = refused(await client.get(path, headers=headers), "invalid_event", name)
        assert "/v1/tickets" in error["message"]
        assert KEYS["admin"] not in error["message"]


def test_what_is_in_a_ticket_is_no_secret(tickets):
    """It holds digests, a role and the name of the person it is for; no key, no token."""
    body = tickets.write(ADA).split(".")[1]
    fields = msgspec.json.decode(base64.urlsafe_b64decode(body + "=="))
    assert fields[2:] == ["token-1", "annotator", "acme", "ada", NOW + 999, NOW, "jti-1", "secret"]
