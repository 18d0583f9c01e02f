"""Whose address counts: the peer's, and a trusted proxy's word for it, never a stranger's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest import API_KEYS, http, refused
from rig import Rig, serving

from server.endpoints.peers import client_address, limit_key, read_networks
from server.endpoints.rates import Rates

PROXY, OTHER_PROXY, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.9"
TRUSTED = read_networks(("10.0.0.0/8", "fd00::/8"))


def scope(peer, *forwarded):
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return {"type": "http", "client": (peer, 5) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (CLIENT, (), CLIENT),
        (CLIENT, ("198.51.100.1",), CLIENT),  # its own word for itself
        (CLIENT, (PROXY,), CLIENT),
        (PROXY, (), PROXY),
        (PROXY, (CLIENT,), CLIENT),
        (PROXY, (f"198.51.100.1, {CLIENT}",), CLIENT),  # the left one was sent by the client
        (PROXY, ("198.51.100.1", CLIENT), CLIENT),  # the same in two headers
        (PROXY, (f"198.51.100.1, {CLIENT}, {OTHER_PROXY}",), CLIENT),
        (PROXY, (OTHER_PROXY,), OTHER_PROXY),
        (PROXY, (f"{CLIENT}:4711",), CLIENT),
        (PROXY, ("[2001:db8::7]:4711",), "2001:db8::7"),
        (PROXY, ("2001:db8::7",), "2001:db8::7"),
        (PROXY, (f"::ffff:{CLIENT}",), CLIENT),
        (f"::ffff:{PROXY}", (CLIENT,), CLIENT),
        ("fd00::1", (CLIENT,), CLIENT),
        (PROXY, ("unknown",), PROXY),
        (PROXY, (f"{CLIENT}, unknown",), PROXY),  # what stands left of nonsense is not believed
        (PROXY, ("",), PROXY),
        (PROXY, ("for=1.2.3.4",), PROXY),
        (PROXY, (f"{CLIENT}," + f"{OTHER_PROXY}," * 40 + OTHER_PROXY,), OTHER_PROXY),
        (None, (CLIENT,), ""),
        ("", (CLIENT,), ""),
    ],
)
def test_s14_the_table_of_addresses(peer, forwarded, found):
    assert client_address(scope(peer, *forwarded), TRUSTED) == found


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_s14_without_trusted_proxies_nothing_said_changes_the_address(said):
    assert client_address(scope(CLIENT, *said), ()) == CLIENT
    assert client_address(scope(CLIENT, *said), TRUSTED) == CLIENT


def test_limits_count_a_household_of_ipv6_as_one():
    assert limit_key("2001:db8:1:2:3:4:5:6") == limit_key("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert limit_key(CLIENT) == CLIENT
    assert limit_key("") == ""


def test_a_network_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        read_networks(["10.0.0.1/8"])


@pytest.mark.parametrize("trusted", [False, True])
async def test_s14_a_spoofed_address_does_not_change_the_limit(trusted):
    """Only behind a trusted proxy each client has a limit of its own."""
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, http(url) as client:
        rig.node.rates = Rates(requests=3)
        if trusted:
            rig.node.trusted_proxies = read_networks(["127.0.0.0/8"])
        codes = []
        for number in range(5):
            headers = {"x-forwarded-for": f"198.51.100.{number}"}
            codes.append((await client.get("/v1/responses/x/events", headers=headers)).status_code)
        assert codes == ([401] * 5 if trusted else [401] * 3 + [429] * 2)
        if not trusted:
            headers = {"x-forwarded-for": "192.0.2.7", "forwarded": "for=192.0.2.7"}
            response = await client.get("/v1/responses/x/events", headers=headers)
            refused(response, "rate_limited")
