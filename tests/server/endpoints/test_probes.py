"""What machines ask."""

import httpx
from rig import Rig, serving

from protocol.asyncapi import build_document
from server.app import SERVER_VERSION
from server.endpoints.probes import Dependency, ready_endpoint
from server.telemetry.metrics import METRICS, PREFIX


async def get(url, path):
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.get(path)


async def test_health_and_readiness():
    async with Rig() as rig, serving(rig) as url:
        response = await get(url, "/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        response = await get(url, "/ready")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "ready"
        assert body["dependencies"]["model"]["ok"] is True
        assert response.headers["cache-control"] == "no-store"
        rig.node.draining = True
        response = await get(url, "/ready")
        assert (response.status_code, response.json()["status"]) == (503, "draining")
        assert (await get(url, "/health")).status_code == 200


async def test_only_what_is_required_makes_unready():
    async with Rig() as rig:
        for required, status in ((False, 200), (True, 503)):
            lost = Dependency("cache", False, "it is away; start it", required=required)

            async def look(lost=lost):
                return [lost]

            response = await ready_endpoint(rig.node, look)(None)
            assert response.status_code == status
            assert b"it is away; start it" in response.body
        assert rig.moved("dependency_up", "cache") == 0


async def test_a_cache_that_is_away_is_said_and_the_server_goes_on(free_port):
    settings = {"cache_url": f"redis://127.0.0.1:{free_port}/0"}
    async with Rig() as rig, serving(rig, **settings) as url:
        response = await get(url, "/ready")
        assert response.status_code == 200
        cache = response.json()["dependencies"]["cache"]
        assert cache["ok"] is False
        assert cache["detail"]


async def test_metrics_name_every_row():
    async with Rig() as rig, serving(rig) as url:
        response = await get(url, "/metrics")
        assert response.headers["content-type"].startswith("text/plain")
        for row in METRICS:
            assert f"# TYPE {PREFIX}{row.name}" in response.text


async def test_the_document_is_the_one_of_the_message_types():
    async with Rig() as rig, serving(rig) as url:
        assert (await get(url, "/asyncapi.json")).json() == build_document(SERVER_VERSION)
