"""`/openapi.json` says what the server does: its routes, its roles, its parameters, its bodies."""

import json
import re
from dataclasses import fields

import msgspec
import pytest
from rest import API_KEYS, KEYS, answered, http, judging
from rig import Rig, serving
from starlette.routing import Route

from protocol.errors import ERRORS
from server.config.settings import Settings
from server.datasets.formats import FORMATS
from server.endpoints.openapi import build_openapi
from server.endpoints.operations import FORMAT, OPERATIONS
from server.endpoints.principals import KeyRing
from server.endpoints.probes import metrics_endpoint
from server.endpoints.routes import build_routes
from server.readiness import Readiness
from server.storage.store import Filter

DOCUMENT = build_openapi("0")


def resolve(reference: str):
    node = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def check(value, schema: dict) -> None:
    """That `value` fits a schema of the kinds that are used here."""
    if "$ref" in schema:
        check(value, resolve(schema["$ref"]))
        return
    if "anyOf" in schema:
        assert any(fits(value, one) for one in schema["anyOf"]), (value, schema)
        return
    if "enum" in schema:
        assert value in schema["enum"]
    kinds = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
        "number": int | float, "null": type(None),
    }  # fmt: skip
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), (value, schema)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys()
        if "additionalProperties" not in schema:
            assert value.keys() <= properties.keys()
        for name, one in value.items():
            check(one, properties.get(name, schema.get("additionalProperties")))
    if isinstance(value, list) and "items" in schema:
        for one in value:
            check(one, schema["items"])


def fits(value, schema: dict) -> bool:
    try:
        check(value, schema)
    except AssertionError:
        return False
    return True


async def test_every_route_is_in_it_and_the_reverse():
    async with Rig() as rig:
        routes = build_routes(
            rig.node,
            Readiness(Settings(), rig.chain, rig.store).look,
            "0",
            metrics=metrics_endpoint(rig.node),
        )
    served = {("get", "/ws")}  # which `Entrance` has
    for route in routes:
        assert isinstance(route, Route)
        served |= {(method.lower(), route.path) for method in route.methods - {"HEAD"}}
    told = {(method, path) for path, found in DOCUMENT["paths"].items() for method in found}
    assert told == served
    assert len(OPERATIONS) == len(told)


def test_it_is_served_as_it_is_built_and_every_reference_resolves():
    text = msgspec.json.encode(DOCUMENT).decode()
    references = set(re.findall(r'"\$ref":"(#[^"]+)"', text))
    assert references
    for reference in references:
        assert resolve(reference)
    used = {reference.rsplit("/", 1)[1] for reference in references}
    assert set(DOCUMENT["components"]["schemas"]) == used


def test_its_structure_is_that_of_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    names = []
    for path, methods in DOCUMENT["paths"].items():
        assert path.startswith("/")
        for operation in methods.values():
            names.append(operation["operationId"])
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status)
                assert response["description"]
            parameters = operation.get("parameters", [])
            assert len({(one["in"], one["name"]) for one in parameters}) == len(parameters)
            in_path = {one["name"] for one in parameters if one["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            assert all(one["required"] == (one["in"] == "path") for one in parameters)
            for security in operation.get("security", []):
                assert security.keys() <= DOCUMENT["components"]["securitySchemes"].keys()
    assert len(set(names)) == len(names)


def test_filters_and_formats_are_those_there_are():
    export = next(one for one in OPERATIONS if one.path.startswith("/api/rlhf/export"))
    names = {one.name for one in export.parameters} - {"format", "after", "starting_after"}
    assert names == {one.name for one in fields(Filter)} - {"tenant"}
    assert set(FORMAT.choices) == set(FORMATS) - {"parquet"}


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.role], ids=lambda one: one.path
)
async def test_the_role_told_is_the_role_needed(operation):
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        path = operation.path.replace("{response_id}", "r").replace("{user_id}", "u")
        roles = list(KEYS)
        for role in roles:
            async with http(url, KEYS[role]) as client:
                response = await client.request(operation.method, path)
                may = roles.index(role) >= roles.index(operation.role)
                assert (response.status_code != 403) == may
                if response.status_code >= 400:
                    declared = DOCUMENT["paths"][operation.path][operation.method]["responses"]
                    assert str(response.status_code) in declared
                    error = response.json()
                    check(error, resolve("#/components/schemas/Error"))
                    assert error["error"]["code"] in ERRORS
        assert isinstance(rig.node.keys, KeyRing)


async def test_what_is_answered_fits_the_schemas():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        document = (await client.get("/openapi.json")).json()
        assert {**document, "info": 0} == {**json.loads(json.dumps(DOCUMENT)), "info": 0}
        final = await answered(rig)
        one = judging(final.id, action="reject", tags=["factual_error"])
        calls = [
            ("post", "/api/v1/feedback", {}, one),
            ("post", "/api/v1/feedback", {}, one),
            ("post", "/api/v1/feedback/bulk", {}, {"events": [judging(final.id), judging("x")]}),
            ("post", "/api/v1/content/{response_id}/reject", {"response_id": final.id}, {}),
            ("get", "/api/v1/content/{response_id}/rejections", {"response_id": final.id}, None),
            ("get", "/api/rlhf/statistics/acceptance-rate", {}, None),
            ("get", "/api/rlhf/statistics/by-type", {}, None),
            ("get", "/api/rlhf/analytics/trends", {}, None),
            ("get", "/api/rlhf/analytics/user/{user_id}/stats", {"user_id": "ada"}, None),
            ("get", "/api/rlhf/export/training-data", {}, None),
            ("get", "/health", {}, None),
            ("get", "/ready", {}, None),
            ("get", "/metrics", {}, None),
        ]
        for method, path, values, body in calls:
            response = await client.request(method, path.format(**values), json=body)
            operation = document["paths"][path][method]
            told = operation["responses"][str(response.status_code)]["content"]
            media_type = response.headers["content-type"].partition(";")[0]
            assert list(told) == [media_type]
            if media_type == "application/json":
                check(response.json(), told[media_type]["schema"])
            if body:
                check(body, operation["requestBody"]["content"]["application/json"]["schema"])
