"""Sockets of who may be there no more are closed, soon, while they do nothing at all."""

import asyncio
import time

import pytest
from credentials import GOOD, NOW, SECRET, digest_of, jwk, jwks, rsa_key, signed_by, token
from redis_servers import PATIENT_S
from rest import API_KEYS, FILTERED, KEYS, http, refused
from rig import Rig, Told, serving, until
from wire import open_client

from server.endpoints.principals import KeyRing
from server.endpoints.revocations import parse_revocations
from server.endpoints.socket import AUTHENTICATE_S
from server.endpoints.standing import Watch, watching
from server.storage.redis_client import RedisClient
from server.storage.shared_lists import MAX_ENTRIES, MemoryList, RedisList

WITHIN_S = 5.0  # what is promised; each test looks at a bound of its own, since it may be busy


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def watched(rig, revoked_url=""):
    return watching(rig.node, secret=b"s" * 32, ticket_url="", revoked_url=revoked_url)


async def test_s3_a_token_that_ends_closes_its_idle_socket():
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url, watched(rig):
        rig.now = NOW
        async with (
            open_client(url, additional_headers=bearer(token())) as ending,
            open_client(url, additional_headers=bearer(token(GOOD | {"exp": NOW + 99}))) as other,
        ):
            rig.now = NOW + 60
            started = time.monotonic()
            assert (await ending.closed())[0] == 4401
            assert time.monotonic() - started < WITHIN_S
            assert ending.seen[-1]["error"]["code"] == "unauthorized"
            await other.send("ping")
            await other.until("pong")


async def test_s3_a_running_answer_ends_with_the_token_of_who_asked():
    model = Told("Open the lid. ", asyncio.Event())
    async with Rig(model, jwt_secret=SECRET) as rig, serving(rig) as url, watched(rig):
        rig.now = NOW
        async with open_client(url, additional_headers=bearer(token())) as client:
            await client.ask(event_id="q")
            await client.until("response.output_text.delta")
            rig.now = NOW + 60
            assert (await client.closed())[0] == 4401


async def test_s3_a_stream_of_events_ends_with_the_token_of_who_asked():
    model = Told("Open the lid. ", asyncio.Event())
    async with Rig(model, jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        question = {"product_id": "td-17", "input": "How?"}
        async with (
            http(url, token()) as client,
            client.stream("POST", "/v1/responses", json=question) as response,
        ):
            lines = response.aiter_lines()
            async for line in lines:
                if "Open the lid" in line:
                    break
            rig.now = NOW + 60
            started = time.monotonic()
            rest = [line async for line in lines]
            assert time.monotonic() - started < WITHIN_S
            assert not any("response.completed" in line for line in rest)


async def test_s10_who_does_not_say_who_it_is_is_closed_after_five_seconds():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, watched(rig):
        started = time.monotonic()
        async with open_client(url) as silent, open_client(url) as pinging, open_client(url) as ada:
            await pinging.send("ping")
            await ada.send("session.update", token=KEYS["user"])
            await ada.until("session.updated")
            for client in (silent, pinging):
                assert (await client.closed())[0] == 4401
                assert client.seen[-1]["error"]["param"] == "token"
            assert AUTHENTICATE_S <= time.monotonic() - started < 2 * AUTHENTICATE_S
            await ada.send("ping")
            await ada.until("pong")


async def test_s3_a_key_taken_out_of_its_file_closes_its_sockets(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# the shop\nviewer:acme:{KEYS['viewer']}\nadmin:acme:{KEYS['admin']} # ops\n")
    async with Rig() as rig, serving(rig) as url:
        rig.node.keys = KeyRing((f"user:{KEYS['user']}",), keys_file=file)
        async with (
            watched(rig),
            open_client(url, additional_headers=bearer(KEYS["viewer"])) as gone,
            open_client(url, additional_headers=bearer(KEYS["admin"])) as stays,
            open_client(url, additional_headers=bearer(KEYS["user"])) as fixed,
        ):
            file.write_text(f"admin:acme:{KEYS['admin']}\n")
            started = time.monotonic()
            assert (await gone.closed())[0] == 4401
            assert time.monotonic() - started < WITHIN_S
            async with http(url, KEYS["viewer"]) as client:
                refused(await client.get(FILTERED[0]), "unauthorized")
            file.write_text("")  # closes everybody of the file out and opens nothing
            assert (await stays.closed())[0] == 4401
            async with http(url) as client:
                refused(await client.get(FILTERED[0]), "unauthorized")
            await fixed.send("ping")
            await fixed.until("pong")


@pytest.mark.parametrize(
    "entry",
    ["jti:t-1", "sub:ada", "sub:ada before 2026-09-21T14:13:21Z", f"key:{digest_of(KEYS['user'])}"],
)
async def test_s3_what_is_revoked_in_the_file_is_closed(tmp_path, entry):
    file = tmp_path / "revoked"
    file.write_text("")
    ada = KEYS["user"] if entry.startswith("key:") else token(GOOD | {"jti": "t-1", "iat": NOW})
    grace = token(GOOD | {"sub": "grace", "jti": "t-2"})
    async with Rig() as rig, serving(rig) as url:
        rig.now = NOW
        rig.node.keys = KeyRing(API_KEYS, SECRET, lambda: NOW, revoked_file=file)
        async with (
            watched(rig),
            open_client(url, additional_headers=bearer(ada)) as gone,
            open_client(url, additional_headers=bearer(grace)) as stays,
        ):
            file.write_text(f"# left the company\n{entry}\n")
            started = time.monotonic()
            assert (await gone.closed())[0] == 4401
            assert time.monotonic() - started < WITHIN_S
            async with http(url, ada) as client:
                refused(await client.get(FILTERED[0]), "unauthorized")
            await stays.send("ping")
            await stays.until("pong")


async def test_s3_what_is_revoked_in_redis_is_closed_on_every_node(redis_url):
    async with Rig(jwt_secret=SECRET) as rig, Rig(jwt_secret=SECRET) as other:
        rig.now = other.now = NOW
        async with (
            serving(rig) as url,
            serving(other) as other_url,
            watched(rig, redis_url),
            watched(other, redis_url),
            open_client(url, additional_headers=bearer(token())) as here,
            open_client(other_url, additional_headers=bearer(token())) as there,
        ):
            client = RedisClient(redis_url, timeout_s=PATIENT_S)
            assert await RedisList(client).add("sub:ada")
            started = time.monotonic()
            for one in (here, there):
                assert (await one.closed())[0] == 4401
            assert time.monotonic() - started < WITHIN_S
            await client.aclose()


async def test_s3_a_key_withdrawn_by_the_issuer_ends_its_tokens(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(jwks(jwk(rsa_key(), kid="a"), jwk(rsa_key(number=1), kid="b")))
    text = signed_by(rsa_key(), GOOD | {"aud": "manicule"}, kid="a")
    async with Rig() as rig, serving(rig) as url:
        rig.node.keys = KeyRing((), wall_clock=lambda: NOW, jwks_file=file)
        async with watched(rig), open_client(url, additional_headers=bearer(text)) as client:
            file.write_text(jwks(jwk(rsa_key(number=1), kid="b")))
            assert (await client.closed())[0] == 4401


async def test_a_list_that_cannot_be_read_leaves_what_was_read_last(redis_server):
    server = redis_server()
    async with Rig(jwt_secret=SECRET) as rig:
        rig.now = NOW
        client = RedisClient(server.url)
        shared = RedisList(client)
        watch = Watch(rig.node, shared)
        assert await shared.add("sub:ada")
        await watch.read()
        assert rig.node.keys.find(token()) is None
        server.run("SADD", "manicule:revoked", "nonsense")
        await watch.read()
        assert rig.node.keys.find(token()) is None
        server.stop()
        await watch.read()
        assert await shared.read() is None
        assert not await shared.add("sub:eve")
        assert rig.node.keys.find(token()) is None
        assert rig.node.keys.find(token(GOOD | {"sub": "grace"}))
        await client.aclose()


async def shared_list(kind, redis_url):
    return (
        MemoryList() if kind == "memory" else RedisList(RedisClient(redis_url, timeout_s=PATIENT_S))
    )


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_shared_list_is_a_bounded_set(kind, redis_url):
    shared = await shared_list(kind, redis_url)
    assert await shared.read() == frozenset()
    for entry in ("sub:ada", "sub:ada", "jti:é"):
        assert await shared.add(entry)
    assert await shared.read() == {"sub:ada", "jti:é"}
    if kind == "redis":
        await shared._client.call("SADD", "manicule:revoked", *map(str, range(MAX_ENTRIES)))
        await shared._client.call("SET", "other", "x")
        assert await RedisList(shared._client, "other").read() is None
        assert await shared.read() is None
        await shared._client.aclose()
    else:
        for number in range(MAX_ENTRIES):
            await shared.add(str(number))
        assert await shared.read() is None


def test_revocations_are_read_as_written():
    found = parse_revocations(
        ["", "# why", "jti:a", " key:b ", "sub:c", "sub:d before 2026-11-21T12:00:00Z",
         "sub:d before 2026-11-20", "sub:mailto:x@y.example"]
    )  # fmt: skip
    assert (found.tokens, found.keys) == ({"a"}, {"b"})
    assert len(found) == 5

    def hit(**who):
        principal = {"name": "", "token_id": None, "user_id": None, "issued_at": None} | who
        return found.hit(**principal)

    noon = 1_795_262_400.0
    assert hit(token_id="a")
    assert hit(name="b")
    assert hit(user_id="c", issued_at=9e9)
    assert hit(user_id="mailto:x@y.example")
    assert hit(user_id="d", issued_at=noon - 1)
    assert hit(user_id="d")
    assert not hit(user_id="d", issued_at=noon)
    assert not hit()
    assert not hit(name="a", token_id="b", user_id="a")


@pytest.mark.parametrize("line", ["ada", "sub:", "user:ada", "sub:ada before noon", ":x", "jti:"])
def test_a_line_that_revokes_nothing_is_a_mistake(line):
    with pytest.raises(ValueError, match="line 2: write"):
        parse_revocations(["sub:eve", line])


async def test_the_watch_says_when_it_cannot_read(redis_url, capsys):
    async with Rig(jwt_secret=SECRET) as rig:
        shared = MemoryList()
        await shared.add("nonsense")
        watch = Watch(rig.node, shared)
        await watch.read()
        await watch.read()
        assert capsys.readouterr().out.count("revocations_not_read") == 1


async def test_places_of_closed_sockets_are_free_again():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        async with open_client(url) as client:
            assert rig.node.doors.inside == 1
            await client.send("session.update", token="a-key-of-nobody-at-all")
            assert (await client.closed())[0] == 4401
        await until(lambda: rig.node.doors.inside == 0)
