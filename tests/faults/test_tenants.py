"""One tenant's key tries ten thousand times to get at another's answers, judgements and words."""

import asyncio
import json
import random
import re
from dataclasses import replace
from uuid import uuid4

from rest import API_KEYS, FILTERED, KEYS, OTHER_ADMIN, http, judging
from rig import Rig, Told, serving
from wire import open_client

from protocol.errors import ERRORS
from server.endpoints.principals import KeyRing

TRIES, REQUESTS, AT_ONCE = 10_000, 1_000, 100
CANARY = "zenith-canary"
THEIR_USER = "u-4711"
NOT_FOUND = {"response_not_found", "invalid_receipt"}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def fill(url):
    """Answers of the other tenant, with a word of theirs in every place that keeps words."""
    ids = []
    async with open_client(url, additional_headers=bearer(OTHER_ADMIN)) as client:
        for number in range(8):
            question = f"{CANARY}: how do I change battery {number}?"
            await client.ask(question, event_id=f"q{number}", user_id=THEIR_USER)
            final = await client.final(f"q{number}")
            assert CANARY in final["output_text"]
            ids.append(final["id"])
            judgement = judging(
                final["id"], action="reject", comment=CANARY, metadata={"note": CANARY}
            )
            await client.send("feedback.create", **judgement)
            await client.until("feedback.acknowledged")
            client.seen.clear()
    return ids


def a_message(dice, ids):
    """One attempt over the socket; what it claims about tenants and people is made up."""
    id_ = dice.choice(ids)
    claims = {"tenant": "zenith", "user_id": THEIR_USER, "principal": "admin"}
    kind = dice.choice(("resume", "cancel", "judge", "session", "regenerate", "search"))
    if kind == "resume":
        position = {"epoch": dice.randint(1, 3), "starting_after": dice.randint(-1, 9)}
        return {"type": "response.resume", "response_id": id_, **position, **claims}
    if kind == "judge":
        claims["metadata"] = {"tenant": "zenith"}
        action = dice.choice(("accept", "reject", "dismiss"))
        receipt = {} if dice.random() < 0.5 else {"receipt": f"{id_}.{uuid4().hex}"}
        return {"type": "feedback.create", **judging(id_, action=action), **claims, **receipt}
    if kind == "session":
        return {"type": "session.update", "user_id": THEIR_USER, "tenant": "zenith"}
    if kind == "search":
        return {"type": "catalog.search", "query": CANARY[: dice.randint(1, 12)], **claims}
    name = {"cancel": "response.cancel", "regenerate": "response.regenerate"}[kind]
    return {"type": name, "response_id": id_, **claims}


async def over_the_socket(url, ids, seed):
    """Send attempts and read everything that comes; all of it."""
    dice, said = random.Random(seed), []
    async with open_client(url, additional_headers=bearer(KEYS["admin"])) as client:
        for _ in range((TRIES - REQUESTS) // AT_ONCE):
            waiting = set()
            for _ in range(AT_ONCE):
                message = a_message(dice, ids)
                waiting.add(message.setdefault("event_id", str(uuid4())))
                await client.socket.send(json.dumps(message))
            while waiting:
                event = await client.next()
                said.append(json.dumps(event))
                if event["type"] == "error":
                    assert event["error"]["code"] in NOT_FOUND, event
                waiting.discard(event.get("event_id") or event["error"]["event_id"])
            client.seen.clear()
    return said


async def one_request(client, dice, ids):
    id_ = dice.choice(ids)
    lies = {"tenant": "zenith", "user_id": THEIR_USER}
    headers = {"x-tenant": "zenith", "x-user": THEIR_USER}
    kind = dice.choice(("events", "rejections", "feedback", "reject", "read"))
    if kind == "events":
        headers["last-event-id"] = f"{dice.randint(1, 2)}-{dice.randint(0, 9)}"
        response = await client.get(f"/v1/responses/{id_}/events", params=lies, headers=headers)
    elif kind == "rejections":
        response = await client.get(f"/api/v1/content/{id_}/rejections", params=lies)
    elif kind == "feedback":
        response = await client.post("/api/v1/feedback", json=judging(id_) | lies, headers=headers)
    elif kind == "reject":
        response = await client.post(f"/api/v1/content/{id_}/reject", json=lies, headers=headers)
    else:
        path = dice.choice(FILTERED).replace("u1", THEIR_USER)
        response = await client.get(path, params=lies if dice.random() < 0.5 else {})
        assert response.status_code == 200
    if response.status_code >= 400:
        error = response.json()["error"]
        assert error["code"] in NOT_FOUND
        assert response.status_code == ERRORS[error["code"]].http_status
    return response.text


async def test_f102_ten_thousand_tries_get_nothing_of_another_tenant():
    model = Told(f"It is a secret of {CANARY}. ", "Open the lid.")
    async with Rig(model, api_keys=API_KEYS) as rig, serving(rig) as url:
        ids = await fill(url)
        rows = {id_: await rig.store.feedback_of(id_, "zenith") for id_ in ids}
        assert all(len(found) == 1 for found in rows.values())
        said = await over_the_socket(url, ids, seed=1)
        assert len(said) >= TRIES - REQUESTS
        async with http(url, KEYS["admin"]) as client:
            dice = random.Random(2)
            for _ in range(REQUESTS // 10):
                some = (one_request(client, dice, ids) for _ in range(10))
                said += await asyncio.gather(*some)
        assert not any(CANARY in text for text in said)
        for id_ in ids:
            assert await rig.store.feedback_of(id_, "zenith") == rows[id_], "nor changed any"
            assert await rig.store.feedback_of(id_, "acme") == []
        async with http(url, OTHER_ADMIN) as owner:  # who does see them
            assert CANARY in (await owner.get(f"/api/v1/content/{ids[0]}/rejections")).text


async def test_s5_a_server_that_believes_the_request_would_be_found_out(monkeypatch):
    """The tries are good enough: with the tenant taken from the query they see the other's."""
    require = KeyRing.require

    def believing(self, connection, role):
        principal = require(self, connection, role)
        said = connection.query_params.get("tenant")
        return replace(principal, tenant=said) if said else principal

    model = Told(f"It is a secret of {CANARY}.")
    async with Rig(model, api_keys=API_KEYS) as rig, serving(rig) as url:
        ids = await fill(url)
        monkeypatch.setattr(KeyRing, "require", believing)
        async with http(url, KEYS["admin"]) as client:
            dice = random.Random(2)
            said = [await one_request(client, dice, ids) for _ in range(50)]
        assert any(CANARY in text for text in said)


def hidden(text, id_):
    """What was said, without the ids that differ by themselves."""
    return re.sub(r'"event_id":"[^"]*"', "", text.replace(id_, "ID"))


async def test_s52_what_is_not_yours_and_what_is_not_there_are_told_alike():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        async with http(url, OTHER_ADMIN) as owner:
            question = {"product_id": "td-17", "input": "How?"}
            stream = (await owner.post("/v1/responses", json=question)).text
        [theirs] = {
            json.loads(line[6:])["response_id"]
            for line in stream.split("\n")
            if line[:5] == "data:"
        }
        absent = theirs[:-4] + "0000"
        async with http(url, KEYS["admin"]) as client:
            for method, path, body in (
                ("GET", "/v1/responses/{}/events", None),
                ("POST", "/api/v1/content/{}/reject", {"comment": "x"}),
                ("GET", "/api/v1/content/{}/rejections", None),
            ):
                told = []
                for id_ in (theirs, absent):
                    response = await client.request(method, path.format(id_), json=body)
                    told.append((response.status_code, hidden(response.text, id_)))
                assert told[0] == told[1]
