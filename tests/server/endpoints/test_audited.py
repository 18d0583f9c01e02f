"""What the endpoints write to the audit log, and that they do nothing unnoted."""

from rest import API_KEYS, KEYS, answered, http, judging, refused
from rig import Rig, serving, until
from wire import open_client

from server.endpoints.node import DENIALS_PER_MINUTE
from server.endpoints.principals import KeyRing
from server.feedback.audit import AuditLog, entries, verify

EXPORT = "/api/rlhf/export/training-data"


def noted(rig) -> list[tuple]:
    return [
        (entry.action, entry.role, entry.tenant, entry.facts) for entry in rig.node.audit.entries
    ]


async def test_an_export_is_noted_before_its_first_line():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        async with http(url, KEYS["admin"]) as client:
            query = {"format": "csv", "since": "2026-01-01", "user_id": "ada", "model": "m"}
            assert (await client.get(EXPORT, params=query)).status_code == 200
            refused(await client.get(EXPORT, params={"format": "no"}), "invalid_event", "format")
        [entry] = rig.node.audit.entries
        assert (entry.action, entry.role, entry.tenant) == ("export", "admin", "acme")
        assert entry.actor == KeyRing(API_KEYS).find(KEYS["admin"]).name
        assert entry.facts == {
            "over": "http",
            "format": "csv",
            "since": "2026-01-01",
            "user_id": "(one person)",
            "model": "m",
        }
        assert KEYS["admin"] not in str(rig.node.audit.entries)


async def test_an_export_that_cannot_be_noted_is_not_made(tmp_path):
    (tmp_path / "file").write_text("")
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        rig.node.audit = AuditLog(tmp_path / "file" / "audit.jsonl", lambda: rig.now)
        refused(await client.get(EXPORT), "store_unavailable")
        rig.node.audit = AuditLog(tmp_path / "audit.jsonl", lambda: rig.now)
        assert (await client.get(EXPORT)).status_code == 200
        assert verify(tmp_path / "audit.jsonl") is None
        assert [entry.action for entry in entries(tmp_path / "audit.jsonl")] == ["export"]


async def test_rejections_by_those_with_rights_are_noted_once():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        final = await answered(rig, "acme")
        for role in ("user", "viewer", "annotator", "admin"):
            async with http(url, KEYS[role]) as client:
                body = {"event_id": judging(final.id)["event_id"], "comment": "canary"}
                for _ in range(2):
                    response = await client.post(f"/api/v1/content/{final.id}/reject", json=body)
                    assert response.status_code in (200, 201)
        assert [(action, role) for action, role, _, _ in noted(rig)] == [
            ("reject", "annotator"),
            ("reject", "admin"),
        ]
        assert noted(rig)[1][3] == {"response_id": final.id, "event_id": body["event_id"]}
        assert "canary" not in str(noted(rig))


async def test_denied_keys_are_noted_without_naming_anybody():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        async with http(url, KEYS["user"]) as client:
            refused(await client.get("/api/rlhf/analytics/user/ada/stats"), "forbidden")
        async with http(url, "a-key-that-is-wrong") as client:
            refused(await client.get(EXPORT), "unauthorized")
        async with open_client(url) as client:
            await client.send("session.update", token="a-token-that-is-wrong")
            await client.closed()
        await rig.node.finish_background()
        assert sorted(noted(rig), key=lambda one: str(one[3])) == [
            (
                "denied",
                "user",
                "acme",
                {"code": "forbidden", "path": "/api/rlhf/analytics/user/{user_id}/stats"},
            ),
            ("denied", "", "", {"code": "unauthorized", "path": EXPORT}),
            ("denied", "", "", {"code": "unauthorized", "path": "/ws"}),
        ]


async def test_a_guesser_does_not_fill_the_disk():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        rig.node.clock = lambda: 1.0
        async with http(url, "a-key-that-is-wrong") as client:
            for _ in range(DENIALS_PER_MINUTE + 5):
                refused(await client.get(EXPORT), "unauthorized")
        await until(lambda: len(rig.node.audit.entries) >= DENIALS_PER_MINUTE)
        await rig.node.finish_background()
        assert len(rig.node.audit.entries) == DENIALS_PER_MINUTE
        assert rig.moved("errors_total", "unauthorized") == DENIALS_PER_MINUTE + 5
