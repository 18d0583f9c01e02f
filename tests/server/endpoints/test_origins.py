"""Which pages may open a socket: the table, and that nothing runs for the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig, serving
from websockets.exceptions import InvalidStatus
from wire import open_client

from server.endpoints.origins import OriginRule

APP = "https://app.example.com"
RULE = OriginRule([APP, "https://other.example.com:8443"])
SERVER = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("origins", "host", "allowed"),
    [
        ([], SERVER, True),  # not a web page
        ([APP], SERVER, True),
        (["https://other.example.com:8443"], SERVER, True),
        (["https://app.example.com.evil"], SERVER, False),
        (["https://app.example.com.evil.example"], SERVER, False),
        (["https://evilapp.example.com"], SERVER, False),
        (["https://app.example.com:443"], SERVER, False),
        (["https://app.example.com/"], SERVER, False),
        (["https://APP.example.com"], SERVER, False),
        (["http://app.example.com"], SERVER, False),
        (["https://app.example.com@evil.example"], SERVER, False),
        (["https://other.example.com"], SERVER, False),
        (["null"], SERVER, False),
        ([""], SERVER, False),
        (["file://"], SERVER, False),
        (["*"], SERVER, False),
        ([APP, APP], SERVER, False),
        ([APP, "https://evil.example"], SERVER, False),
        # The server's own page.
        (["http://127.0.0.1:8080"], "127.0.0.1:8080", True),
        (["http://localhost:8080"], "localhost:8080", True),
        (["http://[::1]:8080"], "[::1]:8080", True),
        (["http://192.168.1.5:8080"], "192.168.1.5:8080", True),
        (["http://127.0.0.1"], "127.0.0.1", True),
        (["http://127.0.0.1"], "127.0.0.1:80", True),
        (["https://127.0.0.1"], "127.0.0.1:443", True),
        (["http://127.0.0.1:8081"], "127.0.0.1:8080", False),
        (["http://localhost:8080"], "127.0.0.1:8080", False),
        (["http://127.0.0.1:8080"], None, False),
        (["http://127.0.0.1:8080"], "", False),
        (["http://user@127.0.0.1:8080"], "user@127.0.0.1:8080", False),
        (["http://127.0.0.1:8080/"], "127.0.0.1:8080", False),
        (["http://127.0.0.1:x"], "127.0.0.1:x", False),
        (["ftp://127.0.0.1:8080"], "127.0.0.1:8080", False),
        # A name that a stranger's DNS points here: Origin and Host agree, and still no.
        (["http://rebind.example:8080"], "rebind.example:8080", False),
        (["http://127.0.0.1.nip.example:8080"], "127.0.0.1.nip.example:8080", False),
        (["http://localhost.evil.example:8080"], "localhost.evil.example:8080", False),
        (["http://localhost.:8080"], "localhost.:8080", False),
        (["http://0x7f000001:8080"], "0x7f000001:8080", False),
        (["http://①27.0.0.1:8080"], "127.0.0.1:8080", False),
    ],
)
def test_f71_the_table_of_origins(origins, host, allowed):
    assert RULE.allows(origins, host) is allowed


NEARLY = st.one_of(
    st.text(max_size=60),
    st.builds("{}{}{}".format, st.text(max_size=8), st.just(APP), st.text(max_size=8)),
    st.builds("{}://{}".format, st.sampled_from(["http", "https", "ws", "HTTPS"]), st.text()),
    st.builds(lambda at, by: APP[:at] + by + APP[at + 1 :], st.integers(0, 22), st.characters()),
)


@given(st.lists(NEARLY, min_size=1, max_size=3), st.none() | NEARLY)
def test_s1_no_origin_passes_that_was_not_listed_letter_by_letter(origins, host):
    """The host is a name here, so that no page is the server's own."""
    allowed = OriginRule([APP]).allows(origins, f"{host}.example")
    assert allowed is (origins == [APP])


@given(NEARLY)
def test_s1_without_a_list_only_the_servers_own_address_passes(origin):
    own = "http://127.0.0.1:8080"
    assert OriginRule([]).allows([origin], "127.0.0.1:8080") is (origin == own)
    assert OriginRule([]).allows([own], "127.0.0.1:8080")


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "https://app.example.com.evil")],
        [("Origin", "null")],
        [("Origin", "http://rebind.example"), ("Host", "rebind.example")],
    ],
)
async def test_f71_a_foreign_page_gets_403_and_no_session(headers):
    async with Rig(origins=(APP,)) as rig, serving(rig) as url:
        made = []
        facts = rig.node.new_facts
        rig.node.new_facts = lambda: made.append(1) or facts()
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url, additional_headers=headers):
                pass
        assert caught.value.response.status_code == 403
        assert b'"forbidden"' in caught.value.response.body
        assert made == []
        assert not rig.node.connections
        async with open_client(url, origin=APP):
            assert made == [1]


async def test_f71_two_origins_are_no_handshake():
    headers = [("Origin", APP), ("Origin", APP)]
    async with Rig(origins=(APP,)) as rig, serving(rig) as url:
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url, additional_headers=headers):
                pass
        assert caught.value.response.status_code in (400, 403)
        assert not rig.node.connections


async def test_the_own_page_may_connect():
    async with Rig() as rig, serving(rig) as url, open_client(url, origin=url) as client:
        await client.send("ping")
        await client.until("pong")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("10.0.0.7", True),
        ("app.example.com", True),
        ("app.example.com:8443", True),
        ("rebind.example:8080", False),
        ("app.example.com.evil", False),
        ("user@app.example.com", False),
        ("", False),
        (None, False),
    ],
)
def test_f71_a_rebound_name_reads_nothing(host, known):
    rule = OriginRule(["https://app.example.com"])
    assert rule.knows_host(host) is known
