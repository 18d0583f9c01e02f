"""Who may what over HTTP: roles, keys, foreign pages, tenants."""

import json

from rest import API_KEYS, FILTERED, KEYS, OTHER_ADMIN, ROLES, answered, http, judging, refused
from rig import Rig, serving

MATRIX = (
    ("POST", "/v1/responses", "user"),
    ("GET", "/v1/responses/resp_x/events", "user"),
    ("POST", "/api/v1/feedback", "user"),
    ("POST", "/api/v1/feedback/bulk", "user"),
    ("POST", "/api/v1/content/resp_x/reject", "user"),
    ("GET", "/api/v1/content/resp_x/rejections", "viewer"),
    ("GET", "/api/rlhf/statistics/acceptance-rate", "viewer"),
    ("GET", "/api/rlhf/statistics/by-type", "viewer"),
    ("GET", "/api/rlhf/analytics/trends", "viewer"),
    ("GET", "/api/rlhf/analytics/user/u1/stats", "annotator"),
    ("GET", "/api/rlhf/export/training-data", "admin"),
)
OPEN = ("/health", "/ready", "/asyncapi.json", "/openapi.json")


async def test_each_role_may_what_it_may():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        for role in ROLES:
            async with http(url, KEYS[role]) as client:
                for method, path, needed in MATRIX:
                    response = await client.request(method, path)
                    if ROLES.index(role) >= ROLES.index(needed):
                        assert response.status_code not in (401, 403, 500), (role, path)
                    else:
                        error = refused(response, "forbidden")
                        assert needed in error["message"]


async def test_without_a_good_key_nothing_but_the_probes_answers():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url, http(url) as client:
        wrong = [
            {},
            {"authorization": "Bearer"},
            {"authorization": "Bearer admin-key-of-nobody-at-all"},
            {"authorization": KEYS["admin"]},
            {"authorization": f"Basic {KEYS['admin']}"},
            {"authorization": f"Bearer {KEYS['admin']}x"},
            {"authorization": "Bearer é".encode("latin-1")},
        ]
        for method, path, _ in MATRIX:
            for headers in wrong:
                response = await client.request(method, path, headers=headers)
                error = refused(response, "unauthorized")
                assert KEYS["admin"] not in json.dumps(error)
        for path in OPEN:
            assert (await client.get(path)).status_code in (200, 503)
        lower = {"authorization": f"bearer  {KEYS['viewer']}"}
        assert (await client.get(FILTERED[0], headers=lower)).status_code == 200


async def test_without_keys_configured_everybody_here_may_all():
    async with Rig() as rig, serving(rig) as url:
        for key in (None, "any-key-whatsoever-it-is"):
            async with http(url, key) as client:
                for method, path, _ in MATRIX:
                    assert (await client.request(method, path)).status_code not in (401, 403, 500)


async def test_a_foreign_page_may_not_ask():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        headers = {"origin": "https://evil.example"}
        for method, path, _ in MATRIX:
            refused(await client.request(method, path, headers=headers), "forbidden")


async def test_tenants_are_kept_apart():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        final = await answered(rig, tenant="acme")
        async with http(url, KEYS["admin"]) as ours, http(url, OTHER_ADMIN) as theirs:
            judgement = judging(final.id, action="reject", comment="ours", metadata={"tenant": "x"})
            assert (await ours.post("/api/v1/feedback", json=judgement)).status_code == 201
            for attempt in (
                judging(final.id),
                judging(final.id, receipt=final.receipt),
                {**judgement, "metadata": {"tenant": "acme"}},
            ):
                response = await theirs.post("/api/v1/feedback", json=attempt)
                refused(response, "response_not_found")
            path = f"/api/v1/content/{final.id}"
            refused(await theirs.post(f"{path}/reject"), "response_not_found")
            assert (await theirs.get(f"{path}/rejections")).json()["rejections"] == []
            assert len((await ours.get(f"{path}/rejections")).json()["rejections"]) == 1
            rig.now += 1  # exports hold what came before they began
            for client, decided in ((ours, 1), (theirs, 0)):
                where = {"tenant": "acme"}  # what a query says of tenants is nothing
                found = (await client.get(FILTERED[0], params=where)).json()
                assert found["overall"]["counts"]["decided"] == decided
                table = await client.get(FILTERED[4], params={"format": "csv"})
                assert len(table.text.splitlines()) == 1 + decided
        [row] = await rig.store.feedback_of(final.id, "acme")
        assert row.tenant == "acme"
        assert row.metadata == {"tenant": "x"}


async def test_s37_no_other_page_is_allowed_to_read_or_to_send():
    """No CORS header is ever sent; nothing is a cookie, so no page sends what it does not know."""
    origin = {"origin": "https://app.example.com"}
    asking = origin | {"access-control-request-method": "POST"}
    async with (
        Rig(api_keys=API_KEYS, origins=tuple(origin.values())) as rig,
        serving(rig) as url,
        http(url, KEYS["admin"]) as client,
    ):
        for method, path, _ in MATRIX:
            for response in (
                await client.request(method, path, headers=origin),
                await client.request("OPTIONS", path, headers=asking),
            ):
                names = {name.lower() for name in response.headers}
                assert not any(name.startswith("access-control") for name in names)
                assert "set-cookie" not in names
