"""A client that stays connected: search, ask, judge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Unpack

from manicule.answer import Answer
from manicule.decoding import Object, read
from manicule.environment import Environment, IdMaker
from manicule.errors import Error
from manicule.feedback import FeedbackSender, OnRefused, Queued
from manicule.judgements import Judgement, Said, frame_of
from manicule.link import Link, Token
from manicule.outbox import MemoryOutbox, Outbox
from manicule.outbox_file import SqliteOutbox
from protocol.events import FeedbackAcknowledged, FinalResponse, FoundProduct

WAIT_S: Final = 10.0
"""How long a search or a question waits for a connection that was lost."""
ACK_WAIT_S: Final = 5.0
"""How long a judgement waits for its acknowledgement before it is told as queued."""
CLOSE_WAIT_S: Final = 1.0
"""How long leaving waits for what is under way to be acknowledged."""

Judged = FeedbackAcknowledged | Queued


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    token: Token = None,
    user_id: str | None = None,
    language: str | None = None,
    outbox: Outbox | Path | str | None = None,
    on_refused: OnRefused | None = None,
    offline: bool = False,
    wait_s: float = WAIT_S,
    ack_wait_s: float = ACK_WAIT_S,
    environment: Environment | None = None,
) -> AsyncIterator[Client]:
    """Connect to the server at `url` (`ws://host:port/ws`, or the page's address).

    `token` is an API key, or an async function that gives a fresh one for each connection.
    `outbox` is the file in which feedback waits (one file for one server), or an `Outbox`; by
    default it waits in memory. `on_refused` is called with an event's id and the error when the
    server refuses feedback that nobody waits for any more. With `offline` a server that is away
    is no error: feedback queues until it is there.

    Raises `CannotConnectError`, `ConnectionLostError`, `OutboxError`, and `Error` for a token
    that is refused.
    """
    environment = environment or Environment()
    box = SqliteOutbox(outbox) if isinstance(outbox, str | Path) else outbox or MemoryOutbox()
    fields = {"user_id": user_id, "language": language}
    await box.open()
    try:
        sender = FeedbackSender(
            box, environment, ack_wait_s=ack_wait_s, on_refused=on_refused or _ignore
        )
        link = Link(url, sender, environment, token=token, session_fields=fields, wait_s=wait_s)
        client = Client(link, sender, box, environment)
        try:
            await link.open(offline=offline)
            yield client
            if link.is_connected and box.count:
                await client.flush(CLOSE_WAIT_S)
        finally:
            await link.aclose()
    finally:
        await box.aclose()


class Client:
    """One server, over one connection after another; `connect` makes it.

    Any number of answers, searches and judgements may be under way at a time.
    """

    def __init__(
        self, link: Link, sender: FeedbackSender, outbox: Outbox, environment: Environment
    ) -> None:
        self._link = link
        self._sender = sender
        self._outbox = outbox
        self._environment = environment
        self._ids = IdMaker(environment)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.is_connected

    @property
    def session(self) -> Mapping[str, Any]:
        """What the server said of itself and its limits (`session.created`), empty before."""
        return self._link.session

    @property
    def pending(self) -> int:
        """How many judgements wait in the outbox to be acknowledged."""
        return self._outbox.count

    async def request(self, kind: str, **fields: object) -> Object:
        """Send an event of the type `kind` and return the event that answers it, as an object.

        For `ping`, `session.update` and `catalog.search`. Raises `Error`.
        """
        return await self._link.request(kind, fields)

    async def search(self, query: str, limit: int = 8) -> list[FoundProduct]:
        """Return products that match `query` (1 to 200 characters), best first."""
        event = await self.request("catalog.search", query=query, limit=limit)
        return read(event.get("products", []), list[FoundProduct])

    def ask(
        self,
        question: str,
        *,
        product_id: str | None = None,
        task: Literal["answer", "improve"] | None = None,
        scenario: str | None = None,
        history: Sequence[Mapping[str, str]] | None = None,
        language: str | None = None,
        user_id: str | None = None,
        previous_response_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask at once, and return the answer to come; errors are raised where it is read.

        The fields are those of `response.create`; `history` holds `{role, content}` pairs.
        """
        fields: Object = {
            "input": question,
            "product_id": product_id,
            "task": task,
            "scenario": scenario,
            "history": None if history is None else [dict(turn) for turn in history],
            "language": language,
            "user_id": user_id,
            "previous_response_id": previous_response_id,
            "metadata": None if metadata is None else dict(metadata),
        }
        return self._link.ask({name: value for name, value in fields.items() if value is not None})

    async def accept(self, answer: FinalResponse | str, **said: Unpack[Said]) -> Judged:
        """Say that the answer, or its `item`, is good. `said` are fields of `Judgement`."""
        return await self.judge(Judgement("accept", answer, **said))

    async def reject(self, answer: FinalResponse | str, **said: Unpack[Said]) -> Judged:
        """Say that the answer, or its `item`, is not good; `tags` and `comment` say why."""
        return await self.judge(Judgement("reject", answer, **said))

    async def modify(
        self, answer: FinalResponse | str, final_text: str, **said: Unpack[Said]
    ) -> Judged:
        """Say how the answer, or its `item`, should read."""
        return await self.judge(Judgement("modify", answer, final_text=final_text, **said))

    async def rate(self, answer: FinalResponse | str, score: int, **said: Unpack[Said]) -> Judged:
        """Give the answer, or its `item`, 1 to 5."""
        return await self.judge(Judgement("rate", answer, score=score, **said))

    async def dismiss(self, answer: FinalResponse | str, **said: Unpack[Said]) -> Judged:
        """Say that the answer, or its `item`, was put aside without a judgement."""
        return await self.judge(Judgement("dismiss", answer, **said))

    async def judge(self, judgement: Judgement) -> Judged:
        """Keep a judgement in the outbox and send it until it is acknowledged.

        Returns the acknowledgement, or `Queued` when none may be expected now: offline, the
        store of the server away, or nothing heard in time. Raises `Error` for what the server
        refuses for good, and `OutboxFullError` or `OutboxError` when it could not be kept.
        """
        event_id = self._ids.make()
        frame = frame_of(judgement, event_id, self._environment.now_ms())
        return await self._sender.submit(event_id, frame)

    async def flush(self, timeout_s: float) -> int:
        """Wait until the outbox is empty, at most `timeout_s`; returns how many still wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._sender.until_empty()
        return self.pending


def _ignore(event_id: str, error: Error) -> None:
    """Nobody asked to be told."""
