"""Decisions that later ones replace, in a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from server.storage.columns import FEEDBACK_SELECT, feedback_row
from server.storage.records import DECIDED, FeedbackRow
from server.storage.superseding import Decision, decisions_of, oldest_id, replaced

_FIND = (
    f"SELECT {', '.join(Decision._fields)} FROM feedback"  # noqa: S608 - our own names
    " WHERE response_id = ? AND tenant = ? AND user_id = ? AND coalesce(item_id, '') = ?"
    " AND event_id >= ?"
    f" AND weight > 0 AND action IN ({', '.join(repr(action) for action in DECIDED)})"
)
_READ = f"SELECT {FEEDBACK_SELECT} FROM feedback WHERE event_id = ? AND tenant = ?"  # noqa: S608
_WITHDRAW = "UPDATE feedback SET weight = 0 WHERE event_id = ? AND tenant = ?"


def withdraw(connection: sqlite3.Connection, new: Sequence[FeedbackRow]) -> list[FeedbackRow]:
    """Set the weight of what the new rows replace, or what replaces them, to 0.

    Returns these rows with the weight they had. Part of the transaction that wrote the new ones.
    """
    decisions = decisions_of(new)
    if not decisions:
        return []
    oldest = oldest_id(decisions)
    found = set(decisions)
    for one in decisions:
        about = (one.response_id, one.tenant, one.user_id, one.item_id or "", oldest)
        found.update(Decision(*values) for values in connection.execute(_FIND, about))
    withdrawn: list[FeedbackRow] = []
    for key in replaced(found):
        withdrawn += map(feedback_row, connection.execute(_READ, key).fetchall())
        connection.execute(_WITHDRAW, key)
    return withdrawn
