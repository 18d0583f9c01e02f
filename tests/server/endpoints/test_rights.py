"""Every role and every message or request: all cells of the table, asked for each frame anew."""

import json
import typing

import pytest
from credentials import GOOD, NOW, SECRET, token
from rest import API_KEYS, KEYS, ROLES, http, judging
from rig import Rig, serving
from wire import open_client

from protocol.codec import decode
from protocol.messages import AnyClientEvent
from server.endpoints.operations import OPERATIONS
from server.endpoints.rights import NEEDED, may_send
from server.endpoints.roles import Principal

MESSAGES = {
    "ping": ({}, None),
    "session.update": ({"language": "de"}, None),
    "catalog.search": ({"query": "td"}, "user"),
    "response.create": ({"product_id": "td-17", "input": "How?"}, "user"),
    "response.cancel": ({"response_id": "resp_x"}, "user"),
    "response.resume": ({"response_id": "resp_x", "epoch": 1, "starting_after": -1}, "user"),
    "response.regenerate": ({"response_id": "resp_x"}, "user"),
    "feedback.create": (judging("resp_x"), "user"),
    "insights.subscribe": ({"topics": ["traffic"]}, "viewer"),
    "insights.unsubscribe": ({"topics": ["traffic"]}, "viewer"),
}
EVENTS = typing.get_args(AnyClientEvent)


def test_s4_every_message_has_a_row():
    assert set(NEEDED) == set(EVENTS)
    assert {event.__struct_config__.tag: NEEDED[event] for event in EVENTS} == {
        name: role for name, (_, role) in MESSAGES.items()
    }


@pytest.mark.parametrize("role", [None, *ROLES])
def test_s4_every_cell_of_roles_and_messages(role):
    principal = None if role is None else Principal("p", role)
    for name, (fields, needed) in MESSAGES.items():
        event = decode(json.dumps({"type": name} | fields))
        is_allowed = needed is None or (
            role is not None and ROLES.index(role) >= ROLES.index(needed)
        )
        assert may_send(principal, event) is is_allowed, (role, name)


@pytest.mark.parametrize("role", [None, *ROLES])
async def test_s4_every_cell_over_the_socket(role):
    headers = {} if role is None else {"Authorization": f"Bearer {KEYS[role]}"}
    async with (
        Rig(api_keys=API_KEYS) as rig,
        serving(rig) as url,
        open_client(url, additional_headers=headers) as client,
    ):
        for name, (fields, needed) in MESSAGES.items():
            event_id = fields.get("event_id", f"e-{name}")
            await client.send(name, **(fields | {"event_id": event_id}))
            await client.send("ping", event_id=f"after-{name}")
            await client.until(lambda e, n=name: e.get("event_id") == f"after-{n}")
            said = [e["error"] for e in client.seen if e["type"] == "error"]
            codes = {e["code"] for e in said if e.get("event_id") == event_id}
            if role is None and needed is not None:
                assert codes == {"unauthorized"}, name
            elif needed is not None and ROLES.index(role) < ROLES.index(needed):
                assert codes == {"forbidden"}, name
            else:
                assert not codes & {"unauthorized", "forbidden"}, name


async def test_s4_a_fresh_token_with_other_rights_counts_from_the_next_message():
    subscribe = {"topics": ["traffic"]}
    headers = {"Authorization": f"Bearer {token(GOOD | {'role': 'viewer'})}"}
    async with Rig(jwt_secret=SECRET) as rig, serving(rig) as url:
        rig.now = NOW
        async with open_client(url, additional_headers=headers) as client:
            for role, code in (("user", "forbidden"), ("admin", "store_unavailable")):
                await client.send("session.update", token=token(GOOD | {"role": role}))
                await client.send("insights.subscribe", event_id=role, **subscribe)
                assert (await client.error(role))["code"] == code


GUARDED = [operation for operation in OPERATIONS if operation.role is not None]


async def test_s4_every_cell_of_roles_and_requests():
    assert len(GUARDED) >= 12
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        for role in (None, *ROLES):
            async with http(url, KEYS.get(role)) as client:
                for operation in GUARDED:
                    path = operation.path.replace("{response_id}", "x").replace("{user_id}", "u")
                    path = path.replace("{", "").replace("}", "")
                    response = await client.request(operation.method, path)
                    if role is None:
                        assert response.status_code == 401, path
                    elif ROLES.index(role) < ROLES.index(operation.role):
                        assert response.status_code == 403, (role, path)
                    else:
                        assert response.status_code not in (401, 403, 500), (role, path)
