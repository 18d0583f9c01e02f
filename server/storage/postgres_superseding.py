"""Decisions that later ones replace, in a PostgreSQL store.

Two nodes that withdraw the same decision wait for each other, and the second finds its weight gone.
Only two decisions of a person that two nodes commit within the same few milliseconds do not see
each other: both count, until that person decides about the same thing once more.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg  # type: ignore[import-untyped]

from server.storage.columns import FEEDBACK_SELECT, feedback_row
from server.storage.records import DECIDED, FeedbackRow
from server.storage.superseding import Decision, decisions_of, oldest_id, replaced

# OFFSET 0 keeps the planner at one look into an index for each row, whatever it believes of tables
# that were never analysed: a join of all with all would take seconds.
_FIND = (
    "SELECT f.* FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[])) AS k"  # noqa: S608 - our own names
    " (response_id, tenant, user_id) CROSS JOIN LATERAL ("
    f"SELECT {', '.join('g.' + name for name in Decision._fields)} FROM feedback g"
    " WHERE g.response_id = k.response_id AND g.tenant = k.tenant AND g.user_id = k.user_id"
    " AND g.event_id >= $4::uuid AND g.weight > 0"
    f" AND g.action IN ({', '.join(repr(action) for action in DECIDED)}) OFFSET 0) AS f"
)
_WITHDRAW = (
    f"WITH old AS (SELECT {FEEDBACK_SELECT} FROM feedback WHERE weight > 0"  # noqa: S608
    " AND (event_id, tenant) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))"
    " ORDER BY event_id, tenant FOR UPDATE),"
    " gone AS (UPDATE feedback f SET weight = 0 FROM old"
    " WHERE f.event_id = old.event_id AND f.tenant = old.tenant) SELECT * FROM old"
)


async def withdraw(connection: asyncpg.Connection, new: Sequence[FeedbackRow]) -> list[FeedbackRow]:
    """Set the weight of what the new rows replace, or what replaces them, to 0.

    Returns these rows with the weight they had. Part of the transaction that wrote the new ones.
    """
    decisions = decisions_of(new)
    if not decisions:
        return []
    about = [(one.response_id, one.tenant, one.user_id) for one in decisions]
    found = await connection.fetch(_FIND, *zip(*about, strict=True), oldest_id(decisions))
    there = {Decision(str(event_id), *values) for event_id, *values in found}
    gone = replaced({*there, *decisions})
    if not gone:
        return []
    read = await connection.fetch(_WITHDRAW, *zip(*gone, strict=True))
    return [feedback_row(tuple(one)) for one in read]
