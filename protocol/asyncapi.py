"""The AsyncAPI 3.0 document of the socket, generated from the message types themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from protocol.errors import ERRORS, CloseCode
from protocol.events import AnyServerEvent
from protocol.messages import CLIENT_EVENTS, Message

SERVER_EVENTS: dict[str, type[Message]] = {
    str(cls.__struct_config__.tag): cls for cls in get_args(AnyServerEvent)
}

_SCHEMA_PATH = "#/components/schemas/{name}"


def build_document(version: str) -> dict[str, Any]:
    """Return the document; `version` is the server's."""
    events: dict[str, type[Message]] = {**CLIENT_EVENTS, **SERVER_EVENTS}
    _, schemas = msgspec.json.schema_components(list(events.values()), ref_template=_SCHEMA_PATH)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "manicule.v1",
            "version": version,
            "description": "Streamed, verified answers about product manuals.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/ws",
                "description": "One JSON object per text frame, subprotocol manicule.v1.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in events},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "fromClient": _operation("receive", CLIENT_EVENTS),
            "fromServer": _operation("send", SERVER_EVENTS),
        },
        "components": {
            "messages": {name: _message(name, cls) for name, cls in events.items()},
            "schemas": schemas,
        },
        "x-error-codes": {
            code: {"retryable": row.retryable, "fault": row.fault, "meaning": row.meaning}
            for code, row in ERRORS.items()
        },
        "x-close-codes": {str(int(code)): code.name.lower() for code in CloseCode},
    }


def _operation(action: str, events: Mapping[str, type[Message]]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"} for name in events],
    }


def _message(name: str, cls: type[Message]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (cls.__doc__ or "").strip().partition("\n")[0],
        "payload": {"$ref": _SCHEMA_PATH.format(name=cls.__name__)},
    }
