"""Feedback, statistics and exports over HTTP, and who may."""

import asyncio
import csv
import io
import json

import pytest
from rest import FILTERED, answered, http, judging, refused
from rig import Rig, serving, until

from protocol.errors import ERRORS
from server.storage.store import StoreUnavailableError

EVERYTHING = {
    "action": "modify",
    "item_id": "item_3",
    "final_text": "Nº 1: “page 12”, it's \t right 👍\r\n",
    "tags": ["factual_error", "tone_inappropriate"],
    "comment": "ligne 1\nligne 2\u200b",
    "occurred_at": "2026-09-21T10:00:00.123+01:00",
    "metadata": {"tenant": "somebody-else", "clé": "été"},
}


# One judgement


async def test_one_judgement_is_committed_and_comes_back_byte_for_byte():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        sent = judging(final.id, receipt=final.receipt, **EVERYTHING)
        response = await client.post("/api/v1/feedback", json=sent)
        assert response.status_code == 201
        assert response.json() == {
            "event_id": sent["event_id"],
            "level": "committed",
            "duplicate": False,
        }
        assert response.headers["cache-control"] == "no-store"
        [row] = await rig.store.feedback_of(final.id)
        for name in ("action", "item_id", "final_text", "comment", "occurred_at", "metadata"):
            assert getattr(row, name) == sent[name]
        assert list(row.tags) == sent["tags"]
        assert row.event_id == sent["event_id"]
        assert row.product_id == "td-17"
        assert row.tenant == ""
        assert rig.moved("feedback_total", "modify") == 1

        again = await client.post("/api/v1/feedback", json=sent)
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
        other = await client.post("/api/v1/feedback", json={**sent, "comment": "no"})
        error = refused(other, "conflict", "event_id")
        assert error["event_id"] == sent["event_id"]
        assert len(await rig.store.feedback_of(final.id)) == 1


async def test_what_is_wrong_with_a_judgement_is_named():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        wrong = [
            ({"event_id": "x"}, "invalid_event", "event_id"),
            ({"action": "like"}, "invalid_event", "action"),
            ({"action": "rate"}, "invalid_event", "score"),
            ({"action": "rate", "score": 6}, "invalid_event", "score"),
            ({"action": "modify"}, "invalid_event", "final_text"),
            ({"tags": ["nice"]}, "invalid_event", "tags[0]"),
            ({"occurred_at": "yesterday"}, "invalid_event", "occurred_at"),
            ({"type": "ping"}, "invalid_event", "type"),
            ({"receipt": "forged.receipt"}, "invalid_receipt", "receipt"),
            ({"response_id": "resp_unknown"}, "response_not_found", None),
            ({"comment": "a\x00b"}, "invalid_event", "comment"),
        ]
        for change, code, param in wrong:
            response = await client.post("/api/v1/feedback", json=judging(final.id) | change)
            error = refused(response, code, param)
            if code == "response_not_found":
                assert error["event_id"]
        refused(await client.post("/api/v1/feedback", content=b"{"), "invalid_json")
        large = await client.post("/api/v1/feedback", content=b" " * 65_537)
        refused(large, "payload_too_large")
        assert await rig.store.feedback_of(final.id) == []


async def test_a_store_that_is_away_asks_to_come_again():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        rows = rig.store.write

        async def away(rows):
            raise StoreUnavailableError("away", code="08006")

        rig.store.write = away
        sent = judging(final.id)
        response = await client.post("/api/v1/feedback", json=sent)
        error = refused(response, "store_unavailable")
        assert error["event_id"] == sent["event_id"]
        assert error["retry_after_ms"] > 0
        assert int(response.headers["retry-after"]) >= 1
        rig.store.write = rows
        response = await client.post("/api/v1/feedback", json=sent)
        assert response.status_code in (200, 201)
        assert len(await rig.store.feedback_of(final.id)) == 1


async def test_without_keys_each_address_has_its_own_cap():
    """The daily cap must not be one for everybody who has no name."""
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        seen = []
        weight = rig.feedback._caps.weight
        rig.feedback._caps.weight = lambda who, now: seen.append(who) or weight(who, now)
        await client.post("/api/v1/feedback", json=judging(final.id))
        assert seen == ["127.0.0.1"]


# Many


async def test_each_judgement_of_a_bulk_has_its_own_result():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        good = judging(final.id)
        events = [
            good,
            good,
            good | {"comment": "other content"},
            judging("resp_unknown"),
            judging(final.id, action="rate"),
            "no object",
            judging(final.id, action="rate", score=4),
            judging(final.id, type="ping"),
        ]
        response = await client.post("/api/v1/feedback/bulk", json={"events": events})
        assert response.status_code == 207
        results = response.json()["results"]
        assert [r["status"] for r in results] == [201, 200, 409, 404, 400, 400, 201, 400]
        assert [r.get("duplicate") for r in results[:2]] == [False, True]
        for event, result in zip(events, results, strict=True):
            if result["status"] in (200, 201):
                assert result["event_id"] == event["event_id"]
                assert result["level"] == "committed"
                assert "error" not in result
            else:
                row = ERRORS[result["error"]["code"]]
                assert (row.http_status, row.retryable) == (
                    result["status"],
                    result["error"]["retryable"],
                )
        assert results[4]["error"]["param"] == "score"
        assert len(await rig.store.feedback_of(final.id)) == 2
        for code in ("conflict", "response_not_found", "invalid_event"):
            assert rig.moved("errors_total", code) >= 1


async def test_a_bulk_has_its_limits():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        for body in ({}, {"events": []}, {"events": {}}, {"events": [1] * 501}):
            response = await client.post("/api/v1/feedback/bulk", json=body)
            refused(response, "invalid_event", "events")
        large = await client.post("/api/v1/feedback/bulk", content=b" " * (2 * 2**20 + 1))
        refused(large, "payload_too_large")
        most = {"events": [judging(final.id, comment="x" * 100) for _ in range(500)]}
        response = await client.post("/api/v1/feedback/bulk", json=most)
        assert {r["status"] for r in response.json()["results"]} == {201}
        assert len(await rig.store.feedback_of(final.id)) == 500


# Rejections


async def test_an_answer_is_rejected_and_its_rejections_are_listed():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        final = await answered(rig)
        path = f"/api/v1/content/{final.id}"
        assert (await client.post(f"{path}/reject")).status_code == 201
        rig.now += 1
        body = judging(
            "resp_of_another", action="accept", comment="wrong page", tags=["factual_error"]
        )
        response = await client.post(f"{path}/reject", json=body)
        assert response.status_code == 201
        assert response.json()["event_id"] == body["event_id"]
        assert (await client.post(f"{path}/reject", json=body)).status_code == 200
        await client.post("/api/v1/feedback", json=judging(final.id))

        found = (await client.get(f"{path}/rejections")).json()
        assert found["response_id"] == final.id
        first, second = found["rejections"]
        assert first["comment"] is None
        assert second["comment"] == "wrong page"
        assert second["event_id"] == body["event_id"]
        assert first["received_at"] < second["received_at"]
        none = (await client.get("/api/v1/content/resp_none/rejections")).json()
        assert none["rejections"] == []
        refused(await client.post("/api/v1/content/resp_none/reject"), "response_not_found")


# Statistics


async def judged(client, rig, *actions: str) -> str:
    final = await answered(rig)
    for action in actions:
        extra = {"score": 4} if action == "rate" else {}
        extra |= {"final_text": "so"} if action == "modify" else {}
        response = await client.post(
            "/api/v1/feedback", json=judging(final.id, action=action, **extra)
        )
        assert response.status_code == 201
    rig.now += 1
    return final.id


async def test_statistics_are_over_decided_events():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        await judged(
            client, rig, *["accept"] * 12, *["reject"] * 6, *["modify"] * 2, "rate", "dismiss"
        )
        found = (await client.get("/api/rlhf/statistics/acceptance-rate?by=product_id")).json()
        assert found["overall"]["counts"]["decided"] == 20
        assert found["overall"]["acceptance_rate"]["value"] == 0.7
        assert found["overall"]["accepted_only_rate"]["value"] == 0.6
        [group] = found["groups"]
        assert group["key"] == {"product_id": "td-17"}
        rate = group["acceptance_rate"]
        assert rate["low"] < rate["value"] < rate["high"]

        types = (await client.get("/api/rlhf/statistics/by-type")).json()
        assert types["by"] == ["item_type"]
        for every, length in (("day", 30), ("week", 5)):
            trend = (await client.get(f"/api/rlhf/analytics/trends?every={every}")).json()
            assert trend["every"] == every
            assert len(trend["points"]) in (length, length + 1)
            assert sum(point["counts"]["decided"] for point in trend["points"]) == 20
        stats = (await client.get("/api/rlhf/analytics/user/nobody/stats")).json()
        assert stats["user_id"] == "nobody"
        assert stats["overall"]["acceptance_rate"]["value"] is None
        assert stats["overall"]["acceptance_rate"]["reason"]


WRONG = (
    ("since", "yesterday"),
    ("until", "2026-13-01"),
    ("since", "0001-01-01T00:00:00+23:59"),
    ("until", "9999-12-31T23:59:59Z"),
    ("min_confidence", "1.5"),
    ("min_confidence", "nan"),
    ("min_confidence", "much"),
    ("product_id", "x" * 129),
    ("user_id", "a\x00b"),
)


@pytest.mark.parametrize("path", FILTERED)
async def test_wrong_parameters_are_named(path):
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        for name, value in WRONG:
            refused(await client.get(path, params={name: value}), "invalid_event", name)
        if "analytics" in path:
            ends = {"since": "2026-09-21", "until": "2026-09-20"}
            refused(await client.get(path, params=ends), "invalid_event", "since")


async def test_other_wrong_parameters_are_named_too():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        acceptance = "/api/rlhf/statistics/acceptance-rate"
        for by in ("colour", "day,colour", "day,model,arm,scenario"):
            refused(await client.get(acceptance, params={"by": by}), "invalid_event", "by")
        trends = "/api/rlhf/analytics/trends"
        response = await client.get(trends, params={"every": "hour"})
        refused(response, "invalid_event", "every")
        for name in ("nope", "parquet"):
            export = "/api/rlhf/export/training-data"
            response = await client.get(export, params={"format": name})
            refused(response, "invalid_event", "format")
        long = await client.get(f"/api/rlhf/analytics/user/{'x' * 129}/stats")
        refused(long, "invalid_event", "user_id")


async def test_a_store_that_cannot_be_read_is_an_error_that_says_so():
    async with Rig() as rig, serving(rig) as url, http(url) as client:

        async def away(*args):
            raise StoreUnavailableError("away")

        async def away_too(*args):
            raise StoreUnavailableError("away")
            yield

        rig.store.tally = rig.store.feedback_of = away
        rig.store.judged = away_too
        for path in (*FILTERED, "/api/v1/content/resp_x/rejections"):
            response = await client.get(path)
            assert (refused(response, "store_unavailable"))["retry_after_ms"] == 1000


# Exports


async def test_exports_stream_what_was_judged():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        await judged(client, rig, "accept", "reject", "modify")
        export = "/api/rlhf/export/training-data"
        chat = await client.get(export)
        assert chat.headers["content-type"] == "application/jsonl"
        assert chat.headers["cache-control"] == "no-store"
        lines = [json.loads(line) for line in chat.text.splitlines()]
        assert lines
        assert all(line["messages"][-1]["role"] == "assistant" for line in lines)
        pairs = await client.get(export, params={"format": "openai-preference"})
        [pair] = [json.loads(line) for line in pairs.text.splitlines()]
        assert pair["preferred_output"][0]["content"] == "so"
        table = await client.get(export, params={"format": "csv"})
        rows = list(csv.DictReader(io.StringIO(table.text)))
        assert {row["action"] for row in rows} == {"accept", "reject", "modify"}
        last = max(row["event_id"] for row in rows)
        rest = await client.get(export, params={"format": "csv", "after": last})
        assert rest.text == ""
        high = await client.get(export, params={"format": "csv", "min_confidence": "1"})
        assert len(high.text.splitlines()) == 1


async def test_a_judgement_is_stored_though_its_sender_has_gone():
    async with Rig() as rig, serving(rig) as url:
        final = await answered(rig)
        gate, writing, write = asyncio.Event(), asyncio.Event(), rig.store.write

        async def gated(rows):
            writing.set()
            await gate.wait()
            return await write(rows)

        rig.store.write = gated
        port = int(url.rsplit(":", 1)[1])
        body = json.dumps(judging(final.id)).encode()
        head = "POST /api/v1/feedback HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            await writing.wait()
        writer.transport.abort()
        gate.set()
        await until(lambda: any(r.response_id == final.id for r in rig.store._feedback.values()))
