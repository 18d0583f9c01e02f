"""Each key has its own budget of HTTP requests, and so has whoever comes without one."""

import pytest
from rest import API_KEYS, FILTERED, KEYS, http, refused
from rig import Rig, serving

from protocol.errors import EventError
from server.endpoints.request_rates import RequestRates


def test_a_budget_is_used_up_and_comes_back():
    rates = RequestRates(per_minute=60)
    for _ in range(60):
        rates.take("a", 0.0)
    with pytest.raises(EventError) as caught:
        rates.take("a", 0.0)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_ms == 1001
    rates.take("b", 0.0)
    rates.take("a", 1.01)


def test_names_are_bounded_and_the_one_idle_longest_is_forgotten():
    rates = RequestRates(per_minute=1, max_names=2)
    for name in ("a", "b"):
        rates.take(name, 0.0)
    for name in ("a", "b"):
        with pytest.raises(EventError):
            rates.take(name, 0.0)
    rates.take("c", 0.0)
    rates.take("a", 0.0)
    with pytest.raises(EventError):
        rates.take("c", 0.0)


async def test_one_key_that_asks_too_often_does_not_hinder_another():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        rig.node.rates, rig.node.clock = RequestRates(per_minute=2), lambda: 1.0
        async with http(url, KEYS["viewer"]) as client, http(url, KEYS["admin"]) as other:
            for _ in range(2):
                assert (await client.get(FILTERED[0])).status_code == 200
            response = await client.get(FILTERED[0])
            refused(response, "rate_limited")
            assert response.headers["retry-after"] == "31"
            assert (await other.get(FILTERED[0])).status_code == 200
            assert (await client.get("/health")).status_code == 200
        async with http(url, "a-key-that-is-wrong") as guesser:
            for code in ("unauthorized", "unauthorized", "rate_limited"):
                refused(await guesser.get(FILTERED[0]), code)


async def test_without_keys_there_is_no_limit():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        rig.node.rates, rig.node.clock = RequestRates(per_minute=1), lambda: 1.0
        for _ in range(3):
            assert (await client.get(FILTERED[0])).status_code == 200
