"""How a row of the settings table is declared, and how its value is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ADDRESS_SCHEMES = (
    "redis", "rediss", "redis+cluster", "rediss+cluster", "unix", "sqlite", "postgresql", "postgres"
)  # fmt: skip
"""Of a secret with one of these, host and path may be shown; a key is never shown."""


def setting(
    default: Any,  # noqa: ANN401 - one declaration for rows of every type
    help_text: str,
    *,
    unit: str = "",
    secret: bool = False,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare one row of the table. `secret` values are never printed; limits are inclusive."""
    metadata = {"help": help_text, "unit": unit, "secret": secret}
    return field(default=default, metadata=metadata | {"limits": (low, high), "choices": choices})


def show_value(value: object, metadata: Mapping[str, Any]) -> object:
    """Return what may be shown of a setting's value."""
    if metadata["secret"] and value:
        return hide_secret(str(value))
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def hide_secret(value: str) -> str:
    """Return what may be shown of a secret: scheme, host and path of an address, else nothing."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(set)"
    # An @ elsewhere means a password with / or # in it, whose pieces stand in host, port or path.
    if parts.scheme not in ADDRESS_SCHEMES or value.count("@") != parts.netloc.count("@"):
        return "(set)"
    user = "***@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{host}{f':{port}' if port else ''}{parts.path}"
