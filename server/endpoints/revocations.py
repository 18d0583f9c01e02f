"""Who may not come any more although a key or token of theirs is good."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Revocations:
    """Tokens by `jti`, keys by the digest that the audit log shows, people by `sub`.

    Of a person the tokens issued before a time are revoked: at infinity all of them.
    """

    tokens: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    people: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens) + len(self.keys) + len(self.people)

    def hit(
        self, *, name: str, token_id: str | None, user_id: str | None, issued_at: float | None
    ) -> bool:
        """Whether this principal is revoked; a token without `iat` counts as issued long ago."""
        if name in self.keys or (token_id is not None and token_id in self.tokens):
            return True
        before = self.people.get(user_id) if user_id is not None else None
        return before is not None and (issued_at or 0.0) < before


def parse_revocations(lines: Iterable[str]) -> Revocations:
    """Return what the lines revoke: `jti:ID`, `key:DIGEST`, `sub:NAME`, `sub:NAME before TIME`.

    Empty lines and those that begin with # are nothing. `TIME` is RFC 3339. Raises `ValueError`.
    """
    tokens: set[str] = set()
    keys: set[str] = set()
    people: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        kind, _, rest = entry.partition(":")
        if kind == "jti" and rest:
            tokens.add(rest)
        elif kind == "key" and rest:
            keys.add(rest)
        elif kind == "sub" and rest:
            name, _, time = rest.partition(" before ")
            people[name] = max(people.get(name, 0.0), _seconds(time, number))
        else:
            raise ValueError(f"line {number}: write jti:ID, key:DIGEST or sub:NAME [before TIME]")
    return Revocations(frozenset(tokens), frozenset(keys), people)


def _seconds(time: str, number: int) -> float:
    if not time:
        return math.inf
    try:
        moment = datetime.fromisoformat(time.strip())
    except ValueError:
        raise ValueError(f"line {number}: write a time such as 2026-11-21T12:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
