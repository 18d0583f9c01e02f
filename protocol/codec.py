"""Frames to client events and server events to frames.

Reading is strict and told apart from writing on purpose: frames come from strangers and are few,
so they go through the standard library's parser with hooks that refuse what JSON libraries let
pass (duplicate keys, NaN, numbers that would lose digits); events are ours and many, so they go
through msgspec's encoder.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET

from protocol.errors import EventError
from protocol.events import Error, ErrorFacts
from protocol.messages import CLIENT_EVENTS, MAX_EVENT_ID_CHARS, AnyClientEvent, Message

MAX_SAFE_INTEGER = 2**53  # beyond it JavaScript and orjson lose digits
MAX_DEPTH = 32  # no event needs more than four levels; unknown fields may hold some
_REFUSED_CHARACTERS = re.compile(r"[\x00\ud800-\udfff]")  # NUL and lone surrogates
_encoder = msgspec.json.Encoder()


class _RefusedError(ValueError):
    """A JSON value that is legal JSON but not accepted here."""


def encode(event: Message) -> str:
    """Return the event as one JSON text without line breaks."""
    return _encoder.encode(event).decode()


def decode(frame: str | bytes) -> AnyClientEvent:
    """Return the client event in a text frame.

    Raises `EventError`: `invalid_json`, `unknown_type`, or `invalid_event` with the field in
    `param`; with the frame's `event_id` wherever that could be read.
    """
    return decode_object(_parse(frame))


def decode_object(obj: dict[str, Any], default_type: str | None = None) -> AnyClientEvent:
    """Return the client event in a parsed object; `default_type` where a door implies it."""
    event_id = _usable_id(obj.get("event_id"))
    try:  # first, as only some Pythons refuse deep nesting while they parse
        bad = _find_refused_character(obj)
    except EventError as error:
        error.event_id = event_id
        raise
    if bad is not None:
        raise EventError(
            "invalid_event",
            f"`{bad}` holds a NUL or a lone surrogate; remove it",
            param=bad,
            event_id=event_id,
        )
    type_name = obj.get("type", default_type)
    if not isinstance(type_name, str):
        raise EventError(
            "invalid_event",
            "`type` is missing; send the name of an event, such as response.create",
            param="type",
            event_id=event_id,
        )
    cls = CLIENT_EVENTS.get(type_name)
    if cls is None:
        raise EventError(
            "unknown_type",
            f"No event has the type {type_name[:64]!r}; known: {', '.join(CLIENT_EVENTS)}",
            param="type",
            event_id=event_id,
        )
    if default_type is not None:
        obj = {**obj, "type": type_name}
    try:
        return msgspec.convert(obj, cls)
    except msgspec.ValidationError as error:
        message, param = _explain(str(error))
        raise EventError("invalid_event", message, param=param, event_id=event_id) from None


def parse_object(frame: str | bytes) -> dict[str, Any]:
    """Return the JSON object in `frame`; raises `EventError("invalid_json")`."""
    return _parse(frame)


def error_event(error: EventError) -> Error:
    """Return the `error` event that tells the client of `error`."""
    return Error(error=error_facts(error))


def error_facts(error: EventError) -> ErrorFacts:
    """Return the facts of `error` as they stand in events and HTTP bodies."""
    return ErrorFacts(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        param=UNSET if error.param is None else error.param,
        event_id=UNSET if error.event_id is None else error.event_id,
        response_id=UNSET if error.response_id is None else error.response_id,
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
    )


def _parse(frame: str | bytes) -> dict[str, Any]:
    try:
        text = frame if isinstance(frame, str) else frame.decode()
        obj = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_safe_int,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except _RefusedError as error:
        raise EventError("invalid_json", str(error), event_id=_salvage_event_id(text)) from None
    except RecursionError:
        raise EventError("invalid_json", "The JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise EventError("invalid_json", "The frame is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise EventError(
            "invalid_json", f"The frame is not JSON: {error.msg} at character {error.pos}"
        ) from None
    if not isinstance(obj, dict):
        raise EventError("invalid_json", "The frame is not a JSON object; send one object a frame")
    return obj


def _salvage_event_id(text: str) -> str | None:
    """Return the `event_id` of a frame that was refused although a lenient parser reads it."""
    try:
        obj = json.loads(text, parse_int=float)  # int() refuses what has thousands of digits
    except (ValueError, RecursionError):
        return None
    return _usable_id(obj.get("event_id")) if isinstance(obj, dict) else None


def _usable_id(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_EVENT_ID_CHARS:
        return None
    return None if _REFUSED_CHARACTERS.search(value) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"The key {double[:64]!r} stands twice in one object; keep one")
    return obj


def _safe_int(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > MAX_SAFE_INTEGER:
        raise _RefusedError("An integer is beyond 2^53 and would lose digits; send it as a string")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError("A number is too large for JSON readers; send a smaller one")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is not JSON; send a number or leave the field out")


def _find_refused_character(value: object, path: str = "", depth: int = 0) -> str | None:
    """Return the path of the first string with a refused character; keys count too."""
    if depth > MAX_DEPTH:
        raise EventError("invalid_json", f"The JSON is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        return (path or "frame") if _REFUSED_CHARACTERS.search(value) else None
    children: list[tuple[str, object]] = []
    if isinstance(value, dict):
        for key, child in value.items():
            if _REFUSED_CHARACTERS.search(key):
                return path or "frame"
            children.append((f"{path}.{key}" if path else key, child))
    elif isinstance(value, list):
        children = [(f"{path}[{index}]", child) for index, child in enumerate(value)]
    for child_path, child in children:
        found = _find_refused_character(child, child_path, depth + 1)
        if found is not None:
            return found
    return None


_AT_PATH = re.compile(r" - at `(key in )?\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_NAMED = re.compile(r"^`(?P<name>[a-z_]+)`")


def _explain(text: str) -> tuple[str, str | None]:
    """Turn a validation message into ours: (message, field)."""
    at = _AT_PATH.search(text)
    path = at["path"] if at else ""
    reason = text[: at.start()] if at else text
    if missing := _MISSING.search(reason):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        return f"`{name}` is missing", name
    if named := _NAMED.match(reason):
        return reason, named["name"]
    if not path:
        return reason, None
    return f"`{path}`: {reason[0].lower()}{reason[1:]}", path
