"""Signed tokens: accepted wherever a key is, and nothing but what this server's secret signed."""

import base64
import hashlib
import json

import pytest
from credentials import GOOD, HEAD, NOW, SECRET, part, token
from hypothesis import given
from hypothesis import strategies as st
from rest import API_KEYS, FILTERED, KEYS, answered, http, judging, refused
from rig import Rig, serving
from wire import open_client

from server.endpoints.principals import KeyRing
from server.endpoints.tokens import Claims, TokenError, TokenReader, write_token


def read(text: str, now: float = NOW) -> Claims:
    return TokenReader(SECRET.encode()).read(text, now)[0]


def test_the_token_of_rfc_7515_is_read():
    """Appendix A.1, whose claims are another's: only its signature is ours to check."""
    text = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    key = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    with pytest.raises(TokenError, match="header or claims"):
        TokenReader(key).read(text, 0)
    with pytest.raises(TokenError, match="signed by"):
        TokenReader(key[1:]).read(text, 0)


def test_a_good_token_is_read_and_written():
    claims = read(token())
    assert (claims.sub, claims.role, claims.tenant) == ("ada", "annotator", "acme")
    assert read(write_token(claims, SECRET.encode())) == claims
    least = read(token({"sub": "a", "exp": NOW + 0.5}))
    assert (least.role, least.tenant) == ("user", "")
    for audience in ("manicule", ["else", "manicule"]):
        assert read(token(GOOD | {"aud": audience}))
    assert read(token(GOOD | {"nbf": NOW + 20, "iss": "somebody", "iat": NOW}))
    assert read(token(head={"alg": "HS256"}))


BAD = {
    "expired": token(GOOD | {"exp": NOW}),
    "not valid yet": token(GOOD | {"nbf": NOW + 60}),
    "not issued yet": token(GOOD | {"iat": NOW + 60}),
    "another audience": token(GOOD | {"aud": "billing"}),
    "no audience of the list": token(GOOD | {"aud": []}),
    "no end": token({"sub": "ada"}),
    "nobody": token({"exp": NOW + 60}),
    "an empty name": token(GOOD | {"sub": ""}),
    "a long name": token(GOOD | {"sub": "a" * 129}),
    "NUL": token(GOOD | {"sub": "a\x00"}),
    "a role that is none": token(GOOD | {"role": "root"}),
    "an end that is text": token(GOOD | {"exp": "9999999999"}),
    "an end that is true": token(GOOD | {"exp": True}),
    "an end without end": token(b'{"sub":"a","exp":1e999}'),
    "NaN": token(b'{"sub":"a","exp":NaN}'),
    "no object": token([GOOD]),
    "no JSON": token(b"x"),
    "no UTF-8": token(b'{"sub":"\xff","exp":1e10}'),
    "another secret": token(secret=SECRET + "x"),
    "alg none": token(head={"alg": "none"}),
    "alg None": token(head={"alg": "None"}),
    "alg lower": token(head={"alg": "hs256"}),
    "alg RS256": token(head={"alg": "RS256"}),
    "alg missing": token(head={"typ": "JWT"}),
    "alg HS512": token(head={"alg": "HS512"}, digest="sha512"),
    "crit": token(head=HEAD | {"crit": ["b64"]}),
    "no signature": token().rpartition(".")[0] + ".",
    "none without signature": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "two parts": token().rpartition(".")[0],
    "four parts": token() + ".x",
    "padding": token() + "=",
    "a space": " " + token(),
    "a newline": token() + "\n",
    "too long": token(GOOD | {"x": "x" * 8192}),
    "empty": "",
    "dots": "..",
    "not ASCII": token()[:-1] + "é",
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_token_is_refused(how):
    with pytest.raises(TokenError) as caught:
        read(BAD[how])
    assert "ada" not in str(caught.value)
    assert KeyRing((), SECRET, lambda: NOW).find(BAD[how]) is None


def test_every_changed_character_is_refused():
    good = token()
    for at, was in enumerate(good):
        for other in {"A", "B", ".", "_"} - {was}:
            with pytest.raises(TokenError):
                read(good[:at] + other + good[at + 1 :])


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{43}"))
def test_whatever_comes_is_refused_and_no_other_error(text):
    with pytest.raises(TokenError):
        read(text)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="JWT secret: needs at least 32"):
        KeyRing((), "short")


def test_a_secret_alone_closes_the_server():
    assert KeyRing(()).is_open
    assert not KeyRing((), SECRET).is_open
    assert KeyRing(API_KEYS).find(token()) is None


async def test_tokens_are_accepted_where_keys_are():
    async with Rig(api_keys=API_KEYS, jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        final = await answered(rig, "acme")
        async with http(url, token()) as client:
            assert (await client.get(FILTERED[3])).status_code == 200
            refused(await client.get(FILTERED[4]), "forbidden")
            assert (
                await client.post("/api/v1/feedback", json=judging(final.id))
            ).status_code == 201
        async with http(url, token(GOOD | {"exp": NOW - 1})) as client:
            error = refused(await client.get(FILTERED[0]), "unauthorized")
            assert "ada" not in json.dumps(error)
        async with http(url, KEYS["viewer"]) as client:
            assert (await client.get(FILTERED[0])).status_code == 200
        [row] = await rig.store.feedback_of(final.id, "acme")
        assert (row.user_id, row.tenant) == ("ada", "acme")
        digest = hashlib.sha256(b"ada").hexdigest()[:12]
        await rig.node.finish_background()
        assert {entry.actor for entry in rig.node.audit.entries} == {f"token-{digest}", ""}


async def test_on_the_socket_a_token_says_who_asks_and_who_judges():
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url, open_client(url) as client:
        rig.now = NOW
        await client.send("session.update", token=token(), user_id="grace", event_id="t")
        assert (await client.until("session.updated"))["event_id"] == "t"
        await client.ask(event_id="q", user_id="grace")
        final = await client.final("q")
        await client.send("feedback.create", **judging(final["id"]))
        await client.until("feedback.acknowledged")
        [row] = await rig.store.feedback_of(final["id"], "acme")
        assert row.user_id == "ada"
        assert (await rig.store.interaction(final["id"], "acme")).user_id == "ada"


async def test_an_expired_token_closes_with_4401():
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url, open_client(url) as client:
        rig.now = NOW
        await client.send("session.update", token=token(GOOD | {"exp": NOW - 1}), event_id="t")
        error = await client.error("t")
        assert (error["code"], error["param"]) == ("unauthorized", "token")
        assert (await client.closed())[0] == 4401


async def test_a_token_that_ends_meanwhile_closes_with_4401_at_the_next_frame():
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        header = {"Authorization": f"Bearer {token()}"}
        async with open_client(url, additional_headers=header) as client:
            await client.send("catalog.search", query="td")
            await client.until("catalog.results")
            fresh = token(GOOD | {"exp": NOW + 120})
            await client.send("session.update", token=fresh)
            await client.until("session.updated")
            rig.now = NOW + 61  # the first one has ended, the second has not
            client.seen.clear()
            await client.send("catalog.search", query="td")
            await client.until("catalog.results")
            rig.now = NOW + 120
            await client.ask(event_id="q")
            assert (await client.error())["code"] == "unauthorized"
            assert (await client.closed())[0] == 4401
        assert not rig.answering.running
