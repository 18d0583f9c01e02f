"""One setting's text to its typed value, within the limits of its row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def convert(value: object, kind: object, metadata: Mapping[str, Any]) -> object:
    """Return `value` (text, or already of the right type) as `kind`, a type of the table.

    Raises `ValueError` with what is wrong and what to write instead; the message does not hold
    the value, since it may be a secret.
    """
    if kind is bool:
        return value if isinstance(value, bool) else _flag(str(value))
    if kind is int or kind is float:
        return _number(value, kind, metadata)
    if kind == tuple[str, ...]:
        parts = value if isinstance(value, list | tuple) else str(value).split(",")
        return tuple(part for each in parts if (part := str(each).strip()))
    text = str(value).strip()
    if not text.isprintable():
        raise ValueError("holds control characters. Remove them.")
    if kind is not str:
        return Path(text).expanduser()
    choices = metadata["choices"]
    if choices and text.lower() not in choices:
        raise ValueError(f"is not known. Use one of {', '.join(choices)}.")
    return text.lower() if choices else text


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("is neither true nor false. Write true or false.")
    return word in _TRUE


def _number(value: object, kind: type[int] | type[float], metadata: Mapping[str, Any]) -> float:
    noun = "a whole number" if kind is int else "a number"
    unit = f" ({metadata['unit']})" if metadata["unit"] else ""
    try:
        number: float = kind(str(value).strip())
    except ValueError:
        raise ValueError(f"is not {noun}{unit}. Write digits only.") from None
    low, high = metadata["limits"]
    if not math.isfinite(number) or not (low or 0) <= number <= (high or math.inf):
        limits = f"{low or 0} to {high}" if high else f"{low or 0} or more"
        raise ValueError(f"is out of range. Use {limits}{unit}.")
    return number
