"""API keys as an operator writes them down: `role:key` or `role:tenant:key`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from server.endpoints.roles import RANKS, Principal, Role

MIN_KEY_CHARS = 16  # what is shorter can be guessed


def digest_of(key: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Whose key each is, by its digest, and all of them at once."""

    by_digest: dict[bytes, Principal] = field(default_factory=dict, repr=False)
    principals: frozenset[Principal] = frozenset()


def parse_keys(entries: Iterable[str]) -> ApiKeys:
    """Return the keys; raises `ValueError` naming the entry's number."""
    found: dict[bytes, Principal] = {}
    for number, entry in enumerate(entries, 1):
        role, _, rest = entry.partition(":")
        tenant, _, key = rest.rpartition(":")
        if role not in RANKS:
            roles = ", ".join(RANKS)
            raise ValueError(f"API key {number}: begin it with a role ({roles}) and a colon")
        if len(key) < MIN_KEY_CHARS:
            raise ValueError(f"API key {number}: needs at least {MIN_KEY_CHARS} characters")
        digest = digest_of(key)
        found[digest] = Principal(digest.hex()[:12], cast(Role, role), tenant)
    return ApiKeys(found, frozenset(found.values()))


def parse_key_file(text: str) -> ApiKeys:
    """Return the keys of a file: one a line, or parted by commas; after a # is a remark."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = (entry.strip() for line in lines for entry in re.split(r",", line))
    return parse_keys(entry for entry in entries if entry)
