"""The endpoints that are told: a TOML file, checked whole before anything is sent."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from server.outbound.addresses import AddressError, check_url
from server.webhooks.signing import read_key

MAX_ENDPOINTS = 32
"""Each has a loop that looks for notices, and a copy of every notice."""

MAX_FILE_BYTES = 256 * 1024

Event = Literal["feedback.created", "answer.rejected", "dead_letter.created"]
EVENTS: tuple[Event, ...] = get_args(Event)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class WebhookError(Exception):
    """The file cannot be used. `problems` has a line for each mistake, with what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """Whom to tell what. `tenant` None means all tenants; `comments` lets comments through.

    `name` stands in the outbox, logs and metrics; `url` and `keys` are secrets and are not shown.
    """

    name: str
    url: str
    keys: tuple[bytes, ...]
    events: tuple[Event, ...] = EVENTS
    tenant: str | None = None
    comments: bool = False

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def wants(self, event: Event, tenant: str | None) -> bool:
        """Tell whether it is told of an event; a `tenant` of None is not known."""
        return event in self.events and self.tenant in (None, tenant)


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One `[[endpoint]]` as it is written."""

    name: str
    url: str
    secret: str = ""
    old_secret: str = ""
    events: list[str] = []
    tenant: str | None = None
    comments: bool = False


def read_endpoints(
    path: Path, *, secret: str = "", allow_http: bool = False, allow_private: bool = False
) -> tuple[Endpoint, ...]:
    """Return the endpoints in a file; `secret` signs for those that have none of their own.

    Raises `WebhookError` with all that is wrong, and `OSError`.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    found, problems = [], []
    for label, raw in _entries(path, data):
        try:
            entry = msgspec.convert(raw, _Entry)
        except msgspec.ValidationError as error:
            problems.append(f"{label}: {error}. See docs/webhooks.md.")
            continue
        label = f'{path}: endpoint "{entry.name}"'
        problems += [f"{label}: {what}" for what in _faults(entry, allow_http, allow_private)]
        try:
            found.append(_endpoint(entry, secret))
        except ValueError as error:
            problems.append(f"{label}: its secret {error}")
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        problems.append(f"{path}: two endpoints have the same name. Give each its own.")
    if problems:
        raise WebhookError(problems)
    return tuple(found)


def _entries(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"is larger than {MAX_FILE_BYTES // 1024} KiB")
        read = tomllib.loads(data.decode())
    except ValueError as error:  # also what tomllib and decode raise
        raise WebhookError([f"{path}: is no TOML file that can be read: {error}"]) from None
    entries = read.pop("endpoint", None)
    if read or not isinstance(entries, list):
        raise WebhookError([f"{path}: write [[endpoint]] tables and nothing else beside them."])
    if len(entries) > MAX_ENDPOINTS:
        raise WebhookError([f"{path}: has {len(entries)} endpoints, {MAX_ENDPOINTS} at most."])
    for number, raw in enumerate(entries, 1):
        yield f"{path}: endpoint {number}", raw


def _faults(entry: _Entry, allow_http: bool, allow_private: bool) -> Iterator[str]:
    if not _NAME.fullmatch(entry.name):
        yield "its name is not made of small letters, digits, - and _, 64 at most."
    try:
        check_url(entry.url, allow_http=allow_http, allow_private=allow_private)
    except AddressError as error:
        yield f"its url {error}."
    for event in sorted(set(entry.events) - set(EVENTS)):
        yield f'there is no event "{event}". Use {", ".join(EVENTS)}.'


def _endpoint(entry: _Entry, secret: str) -> Endpoint:
    """Return the endpoint; raises `ValueError` for a secret that cannot be used."""
    secrets = [entry.secret or secret, *([entry.old_secret] if entry.old_secret else [])]
    return Endpoint(
        name=entry.name,
        url=entry.url,
        keys=tuple(read_key(one) for one in secrets),
        events=tuple(one for one in EVENTS if not entry.events or one in entry.events),
        tenant=entry.tenant,
        comments=entry.comments,
    )
