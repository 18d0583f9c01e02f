"""Somebody with an API key at the REST endpoints, and the keys of two tenants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from rig import WAIT_S, until
from wire import read_event

from protocol.errors import ERRORS

ROLES = ("user", "viewer", "annotator", "admin")
KEYS = {role: f"{role}-key-of-the-first-tenant" for role in ROLES}
OTHER_ADMIN = "admin-key-of-the-other-tenant"
API_KEYS = (*(f"{role}:acme:{key}" for role, key in KEYS.items()), f"admin:zenith:{OTHER_ADMIN}")


@asynccontextmanager
async def http(url, key: str | None = None):
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, timeout=WAIT_S, headers=headers
    ) as client:
        yield client


def judging(response_id: str, **fields) -> dict:
    """A judgement as a client sends it."""
    return {"event_id": str(uuid4()), "response_id": response_id, "action": "accept"} | fields


FILTERED = (
    "/api/rlhf/statistics/acceptance-rate",
    "/api/rlhf/statistics/by-type",
    "/api/rlhf/analytics/trends",
    "/api/rlhf/analytics/user/u1/stats",
    "/api/rlhf/export/training-data",
)


async def answered(rig, tenant: str = ""):
    """The final facts of an answer that was given to `tenant`, its interaction stored."""
    found = (await rig.ask()).final
    if tenant:
        row = await stored(rig, found.id)
        [written] = await rig.store.write([type(row)(**{**as_dict(row), "tenant": tenant})])
        assert written == "inserted"
    return found


async def stored(rig, response_id: str):
    """The interaction of an answer, once it is stored."""
    await until(lambda: any(key[0] == response_id for key in rig.store._interactions))
    return next(row for key, row in rig.store._interactions.items() if key[0] == response_id)


def as_dict(row) -> dict:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def refused(response, code: str, param: str | None = None) -> dict:
    """The error of a response, after checking that it is one whole error of the vocabulary."""
    event = read_event(response.text)
    assert event["type"] == "error"
    assert event["error"]["code"] == code
    assert response.status_code == ERRORS[code].http_status
    assert event["error"].get("param") == param
    return event["error"]
