"""Somebody with rights: a role, a tenant, and perhaps a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["user", "viewer", "annotator", "admin"]
RANKS: dict[str, int] = {role: rank for rank, role in enumerate(get_args(Role))}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with rights; each role may do what those before it may.

    A token names the person too (`user_id`), whatever is said elsewhere, and ends: `expires_at` is
    Unix seconds, as `issued_at` is. `name` is a digest: it tells principals apart and is nobody's
    id. `signer` names the key that signed a token; "" for an API key.
    """

    name: str
    role: Role
    tenant: str = ""
    user_id: str | None = None
    expires_at: float | None = None
    issued_at: float | None = None
    token_id: str | None = None
    signer: str = ""

    def may(self, role: Role) -> bool:
        """Whether these rights include those of `role`."""
        return RANKS[self.role] >= RANKS[role]


OPERATOR = Principal("", "admin")
