"""A client for servers that speak `manicule.v1`: search, ask, judge.

    async with manicule.connect("ws://127.0.0.1:8080/ws", outbox="feedback.db") as client:
        answer = client.ask("How do I reset it?", product_id="td-17")
        async for event in answer:
            ...
        await client.accept(answer.response)

Events and values are the types of `protocol.events`. Only `websockets` and `msgspec` are needed.
"""

from manicule.answer import Answer
from manicule.client import Client, connect
from manicule.environment import Environment
from manicule.errors import (
    CannotConnectError,
    ConnectionLostError,
    Error,
    OutboxError,
    OutboxFullError,
)
from manicule.feedback import Queued
from manicule.judgements import Judgement
from manicule.outbox import Entry, MemoryOutbox, Outbox
from manicule.outbox_file import SqliteOutbox

__all__ = [
    "Answer",
    "CannotConnectError",
    "Client",
    "ConnectionLostError",
    "Entry",
    "Environment",
    "Error",
    "Judgement",
    "MemoryOutbox",
    "Outbox",
    "OutboxError",
    "OutboxFullError",
    "Queued",
    "SqliteOutbox",
    "connect",
]
