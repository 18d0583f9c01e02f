"""Each key, tenant and address has its own budget, and the client is told what is left of it."""

import pytest
from rest import API_KEYS, FILTERED, KEYS, http, refused
from rig import Rig, serving
from wire import open_client

from protocol.errors import EventError
from protocol.events import RateLimitsUpdated
from server.endpoints.principals import OPERATOR, Principal
from server.endpoints.rates import Rates, least_left, refusal
from server.storage.rate_limits import MemoryRateLimits, Rate, Verdict


def still(**limits):
    """Rates whose clock stands still."""
    return Rates(MemoryRateLimits(lambda: 1.0), **limits)


async def test_a_budget_of_requests_is_used_up_and_comes_back():
    now = 0.0
    rates = Rates(MemoryRateLimits(lambda: now), requests=60)
    ann, bob = Principal("ann", "user"), Principal("bob", "user")
    for _ in range(60):
        await rates.take_request(ann, "1.2.3.4")
    with pytest.raises(EventError) as caught:
        await rates.take_request(ann, "1.2.3.4")
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_ms == 1000
    await rates.take_request(bob, "1.2.3.4")
    now += 1
    await rates.take_request(ann, "5.6.7.8")


async def test_one_key_that_asks_too_often_does_not_hinder_another():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        rig.node.rates = still(requests=2)
        async with http(url, KEYS["viewer"]) as client, http(url, KEYS["admin"]) as other:
            for _ in range(2):
                assert (await client.get(FILTERED[0])).status_code == 200
            response = await client.get(FILTERED[0])
            refused(response, "rate_limited")
            assert response.headers["retry-after"] == "30"
            assert (await other.get(FILTERED[0])).status_code == 200
            assert (await client.get("/health")).status_code == 200
        async with http(url, "a-key-that-is-wrong") as guesser:
            for code in ("unauthorized", "unauthorized", "rate_limited"):
                refused(await guesser.get(FILTERED[0]), code)


async def test_without_keys_there_is_no_limit_of_requests():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        rig.node.rates = still(requests=1)
        for _ in range(3):
            assert (await client.get(FILTERED[0])).status_code == 200


async def test_s9_questions_count_for_the_key_the_tenant_and_the_address():
    rates = still(user=3, tenant=5, address=6)
    ann, bob = (Principal(name, "user", "acme") for name in ("ann", "bob"))
    namesake = Principal("ann", "user", "other")

    async def left(principal, address):
        verdict = await rates.take_question(principal, address)
        error = refusal(verdict)
        return error.message if error else verdict.remaining

    assert [await left(ann, "a") for _ in range(3)] == [2, 1, 0]
    assert "of one key or token" in await left(ann, "b")
    assert await left(namesake, "c") == 2
    assert [await left(bob, "b") for _ in range(2)] == [1, 0]
    assert "of one tenant" in await left(bob, "d")
    assert [await left(OPERATOR, "e") for _ in range(6)] == [5, 4, 3, 2, 1, 0]
    assert "of one address" in await left(None, "e")


async def test_nobody_is_counted_where_no_limit_holds():
    assert await still().take_question(Principal("ann", "user"), "a") is None
    assert await still(user=1, tenant=1).take_question(OPERATOR, "a") is None
    assert refusal(None) is None


def test_of_several_limits_the_one_that_is_nearest_is_told():
    own = RateLimitsUpdated(limit=120, remaining=7, reset_ms=900)
    rate = Rate("user/x", 10)
    assert least_left(own, None) is own
    assert least_left(own, Verdict(rate, 7, 1.0)) is own
    nearer = least_left(own, Verdict(rate, 6, 1.5))
    assert nearer == RateLimitsUpdated(limit=10, remaining=6, reset_ms=1500)
    empty = RateLimitsUpdated(limit=120, remaining=0, reset_ms=900)
    assert least_left(empty, Verdict(rate, 0, 2.0, 0.5)).reset_ms == 2000


async def test_each_question_is_followed_by_what_is_left():
    async with Rig(requests_per_minute=2) as rig, serving(rig) as url:
        rig.node.clock = lambda: 1.0
        async with open_client(url) as client:
            told = []
            for name in ("one", "two", "three"):
                await client.ask(f"What is {name}?", event_id=name)
                while (event := await client.next())["type"] != "rate_limits.updated":
                    pass
                told.append((event["limit"], event["remaining"], event["reset_ms"]))
            assert told == [(2, 1, 30_000), (2, 0, 60_000), (2, 0, 60_000)]
            assert (await client.until("error"))["error"]["event_id"] == "three"


async def test_s9_a_question_over_the_limit_of_its_key_is_refused_on_every_socket_and_over_http():
    key = KEYS["viewer"]
    headers = {"Authorization": f"Bearer {key}"}
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        rig.node.rates = still(user=3)
        async with (
            open_client(url, additional_headers=headers) as first,
            open_client(url, additional_headers=headers) as second,
            http(url, key) as plain,
        ):
            for client in (first, second):
                await client.ask("What is this?", event_id="q")
                assert (await client.until("rate_limits.updated"))["limit"] == 3
            question = {"input": "What is this?", "product_id": "td-17"}
            assert (await plain.post("/v1/responses", json=question)).status_code == 200
            response = await plain.post("/v1/responses", json=question)
            refused(response, "rate_limited")
            assert response.headers["retry-after"] == "20"
            await second.ask("What is this?", event_id="over")
            error = await second.error("over")
            assert (error["code"], error["retry_after_ms"]) == ("rate_limited", 20_000)
            assert error["retryable"]
            last = await second.next()
            assert (last["type"], last["remaining"]) == ("rate_limits.updated", 0)
