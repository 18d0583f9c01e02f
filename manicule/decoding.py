"""From a server's frames to the protocol's types, with room for a server that is newer.

What a newer server adds is left out: fields, events and items of kinds that are not known here.
What is known and does not fit is an error.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, get_args

import msgspec

from manicule.errors import ConnectionLostError, Error
from protocol.events import AnyAnswerEvent, AnyItem, AnyTerminalEvent

Object = dict[str, Any]
Read = TypeVar("Read")


def _by_tag(union: object) -> dict[str, Any]:
    return {str(cls.__struct_config__.tag): cls for cls in get_args(union)}


_ANSWER_EVENTS: Final[dict[str, type[AnyAnswerEvent]]] = _by_tag(AnyAnswerEvent)
_ITEM_KINDS: Final = frozenset(_by_tag(AnyItem))
TERMINAL: Final = frozenset(_by_tag(AnyTerminalEvent))
"""The types of the events that end an answer."""


def object_of(frame: str | bytes) -> Object:
    """Return the event in a frame as an object; raises `ConnectionLostError` when it is none."""
    try:
        event = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ConnectionLostError("The server sent what is not JSON. Check the address.") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ConnectionLostError("The server sent what is no event. Check the address.")
    return event


def answer_event(obj: Object) -> AnyAnswerEvent | None:
    """Return an event of an answer, None for a kind that is not known here; raises `Error`."""
    cls = _ANSWER_EVENTS.get(obj["type"])
    if cls is None:
        return None
    if "item" in obj and not _is_known(obj["item"]):
        return None
    response = obj.get("response")
    if isinstance(response, dict) and isinstance(response.get("items"), list):
        items = [item for item in response["items"] if _is_known(item)]
        obj = obj | {"response": response | {"items": items}}
    return read(obj, cls)


def read(value: object, cls: type[Read]) -> Read:
    """Return `value` as a `cls`; raises `Error` when it does not fit."""
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise Error(
            "invalid_event", f"The server's events do not fit. Compare versions. ({error})"
        ) from None


def _is_known(item: object) -> bool:
    return not isinstance(item, dict) or item.get("type", "") in _ITEM_KINDS
