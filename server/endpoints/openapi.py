"""The OpenAPI 3.1 document of the HTTP endpoints, generated from their table and their types."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import msgspec

from protocol.errors import ERRORS, ErrorCode
from protocol.events import Error
from server.endpoints.operations import JSON, OPERATIONS, Operation, Parameter

_SCHEMA_PATH = "#/components/schemas/{name}"
_GUARDED: tuple[ErrorCode, ...] = ("unauthorized", "forbidden", "rate_limited")


def build_openapi(version: str) -> dict[str, Any]:
    """Return the document; `version` is the server's."""
    types: dict[str, type[msgspec.Struct]] = {Error.__name__: Error}
    for operation in OPERATIONS:
        found = [operation.body, *(answer for _, answer in operation.answers.values())]
        types |= {cls.__name__: cls for cls in found if cls is not None}
    _, schemas = msgspec.json.schema_components(list(types.values()), ref_template=_SCHEMA_PATH)
    for schema in schemas.values():  # over HTTP the path says what type a message has
        if "type" in schema.get("properties", {}) and schema is not schemas[Error.__name__]:
            schema["required"].remove("type")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "manicule",
            "version": version,
            "description": "Streamed, verified answers about product manuals, and their feedback.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key or a signed token; none is needed when none is set.",
                }
            },
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name_of(operation),
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if operation.parameters:
        found["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        found["requestBody"] = {
            "required": not operation.body_optional,
            "content": {JSON: {"schema": _body(operation, schemas)}},
        }
    if operation.role is not None:
        found["description"] = f"Needs the role {operation.role} or one above it."
        found["security"] = [{"key": []}]
        found["x-role"] = operation.role
    return found


def _name_of(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path) or ["page"]
    return "_".join((operation.method, *words))


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, (media_type, cls) in operation.answers.items():
        entry: dict[str, Any] = {"description": operation.summary}
        if media_type:
            schema = {} if cls is None else _reference(cls.__name__)
            entry["content"] = {media_type: {"schema": schema}}
        responses[str(status)] = entry
    codes = (*_GUARDED, *operation.errors) if operation.role else operation.errors
    by_status: dict[int, list[ErrorCode]] = {}
    for code in codes:
        by_status.setdefault(ERRORS[code].http_status, []).append(code)
    for status, same in sorted(by_status.items()):
        meaning = " ".join(f"`{code}`: {ERRORS[code].meaning}" for code in same)
        content = {JSON: {"schema": _reference(Error.__name__)}}
        responses[str(status)] = {"description": meaning, "content": content}
    return responses


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if parameter.kind == "number":
        schema |= {"minimum": 0, "maximum": 1}
    if parameter.choices:
        schema |= {"enum": list(parameter.choices), "default": parameter.choices[0]}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.help,
        "required": parameter.place == "path",
        "schema": schema,
    }


def _body(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a body, of which the path may give some fields."""
    assert operation.body is not None
    if not operation.body_optional:
        return _reference(operation.body.__name__)
    relaxed: dict[str, Any] = deepcopy(schemas[operation.body.__name__])
    required = [name for name in relaxed["required"] if name not in operation.body_optional]
    relaxed["required"] = required
    name = f"{_name_of(operation)}_body"
    schemas[name] = relaxed
    return _reference(name)


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMA_PATH.format(name=name)}
