"""Taking up an answer again, and stopping one, wherever it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import structlog

from protocol.errors import EventError
from protocol.events import FinalResponse, ResponseResumed, Status
from protocol.positions import Position
from server.answering.follower import Follower
from server.answering.kept import KeptAnswers
from server.answering.service import Answering
from server.answering.topics import Asker, Topic, Topics
from server.storage.fleet import Fleet
from server.storage.response_log import LogError
from server.storage.store import StoreUnavailableError

log = structlog.get_logger("manicule")

CATCH_UP_S = 8.0
"""How long a position past the log is waited for: twice as long as a dead writer's lease lasts, for
where writers die, machines are busy."""

LOOKS = 32
"""Times that the log is looked at meanwhile."""

MAX_AHEAD = 1000
"""Events by which a writer may be ahead; what is further off is no position of this answer."""

ResumeResult = Literal["here", "log", "store", "not_found", "bad_position", "unavailable"]


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a resumed client is told first, and the topic to read on in, if any."""

    told: ResponseResumed
    topic: Topic | None = None


class Elsewhere(Protocol):
    """Answers of other nodes."""

    async def open(self, response_id: str) -> Topic | None:
        """Return the topic of an answer in the log; raises `LogError`."""
        ...

    async def cancel(self, response_id: str) -> bool:
        """Have the writer of a followed answer stop; whether somebody will."""
        ...

    async def is_orphan(self, response_id: str) -> bool:
        """Whether the writer of a followed answer lives no more."""
        ...

    async def catch_up(self, topic: Topic) -> None:
        """Read what other nodes have logged of an answer."""
        ...


class OtherNodes:
    """Answers of other nodes, by the log.

    `fence` gives up an answer that is written here if another node took it over.
    """

    def __init__(
        self,
        follower: Follower,
        fleet: Fleet,
        answering: Answering,
        *,
        fence: Callable[[Topic], Awaitable[None]],
    ) -> None:
        self._fence = fence
        self._follower = follower
        self._fleet = fleet
        self._answering = answering

    async def open(self, response_id: str) -> Topic | None:
        """Follow the answer in the log."""
        return await self._follower.open(response_id)

    async def cancel(self, response_id: str) -> bool:
        """Tell the writer; take the answer over when it does not live, and stop it here."""
        if await self._follower.take_now(response_id):
            self._answering.running[response_id].cancel()
            return True
        writer = self._follower.writer_of(response_id)
        if not writer:
            return False
        await self._fleet.tell(writer, response_id)
        return True

    async def catch_up(self, topic: Topic) -> None:
        """Look at the log now; an answer written here may have been taken over meanwhile."""
        if topic.response_id in self._answering.running:
            await self._fence(topic)
        await self._follower.catch_up(topic.response_id)

    async def is_orphan(self, response_id: str) -> bool:
        """Ask the fleet about the writer."""
        writer = self._follower.writer_of(response_id)
        return bool(writer and await self._fleet.absent([writer]))


class Resuming:
    """Finds answers by id for those who asked them.

    What does not exist and what is somebody else's are answered alike, after the same look-ups.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        topics: Topics,
        elsewhere: Elsewhere | None,
        kept: KeptAnswers,
        on_result: Callable[[ResumeResult], None] = lambda result: None,
    ) -> None:
        self._answering = answering
        self._topics = topics
        self._elsewhere = elsewhere
        self._kept = kept
        self._on_result = on_result

    async def open(self, response_id: str, position: Position, asker: Asker) -> Resumption:
        """Return where to read on after `position`.

        Raises `EventError`: `response_not_found`, `invalid_event` for a position that the answer
        has not reached, `store_unavailable`.
        """
        here = self._topics.get(response_id) is not None
        topic = await self._find(response_id)
        if topic is None or topic.asker != asker:
            return await self._from_store(response_id, position, asker)
        if topic.lacks(position) and not await self._will_reach(topic, position):
            self._on_result("bad_position")
            raise EventError(
                "invalid_event",
                f"The answer has not come as far as {position}; resume after the last event you "
                "got, or after -1 for all",
                param="starting_after",
                response_id=response_id,
            )
        self._on_result("here" if here else "log")
        told = ResponseResumed(
            response_id=response_id,
            recovered=True,
            epoch=position.epoch,
            from_sequence_number=position.number + 1,
            status=cast("Status", topic.status),
        )
        return Resumption(told, topic)

    async def cancel(self, response_id: str, asker: Asker) -> None:
        """Stop an answer; raises `EventError("response_not_found")` unless it runs for `asker`."""
        running = self._answering.running.get(response_id)
        if running is not None and running.topic.asker == asker:
            running.cancel()
            return
        topic = await self._find(response_id)
        is_cancelled = False
        if topic is not None and topic.asker == asker and not topic.has_ended and self._elsewhere:
            try:
                is_cancelled = await self._elsewhere.cancel(response_id)
            except LogError as error:
                raise self._unavailable(response_id, error) from None
        if not is_cancelled:
            raise EventError(
                "response_not_found",
                "No running answer of yours has this id; it may have ended",
                response_id=response_id,
            )

    async def _find(self, response_id: str) -> Topic | None:
        topic = self._topics.get(response_id)
        if topic is not None or self._elsewhere is None:
            return topic
        try:
            return await self._elsewhere.open(response_id)
        except LogError as error:
            raise self._unavailable(response_id, error) from None

    async def _will_reach(self, topic: Topic, position: Position) -> bool:
        """Whether a position past the log is one that its writer has sent.

        A writer whose log was slow is ahead of it for a moment. One that died ahead of it is
        followed by another, who begins the answer anew.
        """
        if self._elsewhere is None or position.number > topic.last.number + MAX_AHEAD:
            return False
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while topic.lacks(position) and not topic.has_ended:
                    await self._elsewhere.catch_up(topic)
                    if topic.lacks(position) and await self._elsewhere.is_orphan(topic.response_id):
                        return True
                    await asyncio.sleep(CATCH_UP_S / LOOKS)
        except TimeoutError:
            return False
        except LogError as error:
            raise self._unavailable(topic.response_id, error) from None
        return not topic.lacks(position)

    async def _from_store(self, response_id: str, position: Position, asker: Asker) -> Resumption:
        try:
            final = await self._kept.find(response_id, asker)
        except StoreUnavailableError as error:
            raise self._unavailable(response_id, error) from None
        if final is None:
            self._on_result("not_found")
            raise EventError(
                "response_not_found",
                "No answer of yours has this id, or it is no longer kept; ask the question again",
                response_id=response_id,
            )
        self._on_result("store")
        return Resumption(_told_final(final, position))

    def _unavailable(self, response_id: str, error: Exception) -> EventError:
        log.warning("resume_failed", reason=str(error))
        self._on_result("unavailable")
        return EventError(
            "store_unavailable",
            "Answers cannot be looked up now; try again",
            response_id=response_id,
            retry_after_ms=1000,
        )


def _told_final(final: FinalResponse, position: Position) -> ResponseResumed:
    return ResponseResumed(
        response_id=final.id,
        recovered=False,
        epoch=position.epoch,
        from_sequence_number=position.number + 1,
        status=final.status,
        response=final,
    )
