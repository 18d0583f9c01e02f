"""Feedback over the socket, and sockets that need a key."""

import asyncio

import pytest
from rest import API_KEYS, KEYS, OTHER_ADMIN, judging
from rig import Rig, serving, until
from wire import open_client

from server.endpoints.socket import MAX_JUDGING

ACTIONS = {
    "accept": {},
    "reject": {"tags": ["factual_error", "tone_inappropriate"]},
    "modify": {"final_text": "Nº 1: “page 12”, it's \t right 👍\r\n"},
    "rate": {"score": 5},
    "dismiss": {"comment": "trop long\n\u200bmerci"},
}
ALWAYS = {
    "item_id": "item_2",
    "occurred_at": "2026-09-21T10:00:00.123+01:00",
    "metadata": {"tenant": "somebody-else", "clé": "été"},
}


async def told(client, event_id: str) -> dict:
    """What is said of a judgement: its acknowledgement or its error."""

    def about(event):
        known = event.get("event_id") == event_id and event["type"] == "feedback.acknowledged"
        return known or event.get("error", {}).get("event_id") == event_id

    client.seen.clear()
    return await client.until(about)


async def judge(client, response_id: str, **fields) -> tuple[dict, dict]:
    """Send a judgement; returns it and what is said of it."""
    sent = judging(response_id, **fields)
    await client.send("feedback.create", **sent)
    return sent, await told(client, sent["event_id"])


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_action_comes_back_byte_for_byte(action):
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.send("session.update", user_id="ada", event_id="who")
        await client.ask(event_id="q")
        final = await client.final("q")
        given = {**ALWAYS, **ACTIONS[action]}
        sent, ack = await judge(client, final["id"], action=action, **given)
        assert ack == {
            "type": "feedback.acknowledged",
            "event_id": sent["event_id"],
            "level": "committed",
            "duplicate": False,
        }
        [row] = await rig.store.feedback_of(final["id"])
        kept = {name: getattr(row, name) for name in given} | {"tags": list(row.tags)}
        assert kept == {"tags": [], **given}
        assert (row.action, row.user_id, row.tenant) == (action, "ada", "")
        assert row.product_id == "td-17"
        assert rig.moved("feedback_total", action) == 1


async def test_a_repetition_is_a_duplicate_and_another_content_a_conflict():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.ask(event_id="q")
        final = await client.final("q")
        sent, first = await judge(client, final["id"])
        assert first["duplicate"] is False
        await client.send("feedback.create", **{**sent, "event_id": sent["event_id"].upper()})
        again = await told(client, sent["event_id"].upper())
        assert again["duplicate"] is True
        await client.send("feedback.create", **sent, comment="another")
        error = (await told(client, sent["event_id"]))["error"]
        assert (error["code"], error["retryable"]) == ("conflict", False)
        assert [row.comment for row in await rig.store.feedback_of(final["id"])] == [None]


async def test_a_receipt_is_enough_for_the_answer_of_another_node():
    async with Rig() as one, serving(one) as url, open_client(url) as client:
        await client.ask(event_id="q")
        final = await client.final("q")
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        _, bare = await judge(client, final["id"])
        assert bare["error"]["code"] == "response_not_found"
        _, ack = await judge(client, final["id"], receipt=final["receipt"])
        assert ack["level"] == "committed"
        [row] = await rig.store.feedback_of(final["id"])
        assert (row.product_id, row.model) == ("td-17", "scripted")
        _, other = await judge(client, "resp_other", receipt=final["receipt"])
        assert other["error"]["code"] == "invalid_receipt"


async def test_feedback_is_taken_while_the_server_drains():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.ask(event_id="q")
        final = await client.final("q")
        for connection in rig.node.connections:
            connection.drain("the test", 1000)
        _, ack = await judge(client, final["id"])
        assert ack["type"] == "feedback.acknowledged"


async def test_one_socket_may_have_a_bounded_number_of_judgements_waiting():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        gate, waiting, take = asyncio.Event(), [], rig.feedback.take

        async def gated(event, **who):
            waiting.append(event.event_id)
            await gate.wait()
            return await take(event, **who)

        rig.feedback.take = gated
        await client.ask(event_id="q")
        final = await client.final("q")
        sent = [judging(final["id"]) for _ in range(MAX_JUDGING + 1)]
        for one in sent:
            await client.send("feedback.create", **one)
        error = await client.error(sent[-1]["event_id"])
        assert (error["code"], error["retryable"]) == ("store_unavailable", True)
        assert error["retry_after_ms"] > 0
        assert waiting == [one["event_id"] for one in sent[:-1]]
        await client.send("ping", event_id="still there")
        await client.until("pong")
        gate.set()
        await until(lambda: rig.moved("feedback_total", "accept") == MAX_JUDGING)
        _, ack = await judge(client, final["id"])
        assert ack["type"] == "feedback.acknowledged"
        assert len(await rig.store.feedback_of(final["id"])) == MAX_JUDGING + 1


async def test_a_judgement_is_stored_though_its_sender_has_gone():
    async with Rig() as rig, serving(rig) as url:
        gate, writing, write = asyncio.Event(), asyncio.Event(), rig.store.write
        async with open_client(url) as client:
            await client.ask(event_id="q")
            final = await client.final("q")
            await until(lambda: not rig.writer.waiting)

            async def gated(rows):
                writing.set()
                await gate.wait()
                return await write(rows)

            rig.store.write = gated
            await client.send("feedback.create", **judging(final["id"]))
            async with asyncio.timeout(10):
                await writing.wait()
            client.socket.transport.abort()
        await until(lambda: not rig.node.connections)
        assert await rig.store.feedback_of(final["id"]) == []
        gate.set()
        await until(lambda: any(r.response_id == final["id"] for r in rig.store._feedback.values()))


# Keys


async def test_with_keys_a_socket_serves_nothing_before_its_token():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, open_client(url) as client:
        await client.send("ping", event_id="p")
        await client.until("pong")
        await client.send("catalog.search", query="td", event_id="s")
        assert (await client.error("s"))["code"] == "unauthorized"
        await client.ask(event_id="q")
        assert (await client.error("q"))["code"] == "unauthorized"
        sent = judging("resp_x")
        await client.send("feedback.create", **sent)
        assert (await client.error(sent["event_id"]))["code"] == "unauthorized"
        await client.send("session.update", user_id="ada")  # names somebody, proves nothing
        await client.until("session.updated")
        client.seen.clear()
        await client.ask(event_id="q1")
        assert (await client.error("q1"))["code"] == "unauthorized"
        assert not rig.answering.running

        await client.send("session.update", token=KEYS["user"], event_id="t")
        assert (await client.until("session.updated"))["event_id"] == "t"
        await client.ask(event_id="q2")
        final = await client.final("q2")
        _, ack = await judge(client, final["id"])
        assert ack["level"] == "committed"
        [row] = await rig.store.feedback_of(final["id"], "acme")
        assert row.tenant == "acme"


@pytest.mark.parametrize("token", ["", "x", "user-key-of-nobody-whatsoever", "é" * 16])
async def test_a_wrong_token_closes_with_4401(token):
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, open_client(url) as client:
        await client.send("session.update", token=token, event_id="t")
        error = await client.error("t")
        assert (error["code"], error["param"]) == ("unauthorized", "token")
        assert (await client.closed())[0] == 4401
        await until(lambda: rig.moved("connections_closed_total", "4401") == 1)


async def test_the_header_is_as_good_as_the_token():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        good = {"Authorization": f"Bearer {KEYS['user']}"}
        async with open_client(url, additional_headers=good) as client:
            await client.ask(event_id="q")
            final = await client.final("q")
            await judge(client, final["id"])
            assert len(await rig.store.feedback_of(final["id"], "acme")) == 1
        wrong = {"Authorization": "Bearer user-key-of-nobody-whatsoever"}
        async with open_client(url, additional_headers=wrong) as client:
            await client.ask(event_id="q")
            assert (await client.error("q"))["code"] == "unauthorized"


async def test_another_tenant_may_not_judge_an_answer():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        ours = {"Authorization": f"Bearer {KEYS['user']}"}
        theirs = {"Authorization": f"Bearer {OTHER_ADMIN}"}
        async with (
            open_client(url, additional_headers=ours) as client,
            open_client(url, additional_headers=theirs) as stranger,
        ):
            await client.ask(event_id="q")
            final = await client.final("q")
            for receipt in ({}, {"receipt": final["receipt"]}):
                _, said = await judge(stranger, final["id"], **receipt)
                assert said["error"]["code"] == "response_not_found"
            _, ack = await judge(client, final["id"])
            assert ack["type"] == "feedback.acknowledged"
        assert {row.tenant for row in rig.store._feedback.values()} == {"acme"}


async def test_without_keys_any_token_will_do():
    async with Rig() as rig, serving(rig) as url, open_client(url) as client:
        await client.send("session.update", token="whatever", event_id="t")
        assert (await client.until("session.updated"))["event_id"] == "t"
