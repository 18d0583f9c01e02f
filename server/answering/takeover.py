"""Going on with an answer whose writer lives no more: claim it in the log, then begin it anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import structlog

from protocol.errors import EventError
from server.answering.follower import Followed
from server.answering.service import Answering
from server.answering.topics import Topics, reset_frame
from server.storage.response_log import Entry, ResponseLog

log = structlog.get_logger("manicule")

REASON = "the node that wrote the answer is gone"

TakeOverEvent = Literal["taken_over", "lost_race"]


class TakeOver:
    """Takes answers over for `node`.

    The claim is the reset that ends the epoch. Its place in the stream is the next one, which
    the old writer, should it live after all, wants too: the log gives it to one of the two.
    """

    def __init__(
        self,
        response_log: ResponseLog,
        answering: Answering,
        topics: Topics,
        *,
        node: str,
        on_event: Callable[[TakeOverEvent], None] = lambda event: None,
    ) -> None:
        self._log = response_log
        self._answering = answering
        self._topics = topics
        self._node = node
        self._on_event = on_event

    async def __call__(self, followed: Followed) -> bool:
        """Whether this node writes the answer from here on; raises `LogError`."""
        topic = followed.topic
        try:
            question = self._answering.look_up_again(followed.question, topic.response_id)
        except EventError as error:
            log.warning("take_over_refused", code=error.code, response_id=topic.response_id)
            followed.heard_at = float("inf")  # not ours, now or later
            return False
        position = followed.after.next
        claim = reset_frame(topic.response_id, position, REASON)
        entry = Entry(position=position, frame=claim.text, writer=self._node)
        [won] = await self._log.append([(topic.response_id, entry)])
        if not won:
            self._on_event("lost_race")
            return False
        self._on_event("taken_over")
        log.info("answer_taken_over", response_id=topic.response_id, epoch=position.epoch + 1)
        if not topic.is_reset:
            at = max(position, topic.last.next)
            topic.extend([reset_frame(topic.response_id, at, REASON)])
        topic.logged = len(topic.frames)
        topic.release(topic.logged)
        self._topics.add(topic)
        self._answering.take_over(topic, question, position.epoch + 1)
        return True
