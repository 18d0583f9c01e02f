"""One answer on the wire: model text in, numbered events out, in one legal order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypedDict

from msgspec import UNSET, UnsetType

from protocol.events import (
    TERMINAL_EVENTS,
    AnyAnswerEvent,
    AnyItem,
    AttemptReason,
    AttemptStarted,
    FallbackName,
    FinalResponse,
    ManualFacts,
    OutputItemDone,
    OutputTextDelta,
    ResponseCreated,
    ResponseInProgress,
    ResponseReset,
    Source,
    Stage,
    StartedResponse,
)
from protocol.guard import OutputGuard
from protocol.items import MAX_CLAIM_CHARS, DropReason, ItemMaker
from protocol.markers import Marker, MarkerParser
from protocol.markers import Text as PlainText
from protocol.states import AnswerState, AnswerStep, next_answer_state


class _Position(TypedDict):
    response_id: str
    epoch: int
    sequence_number: int


class AnswerStream:
    """Turns what happens to one answer into its events.

    Text is collected by `feed` and given out by `take`, so that the caller decides how often
    frames go; every other event gives out the text before it first. The same text in any chunks
    gives the same joined deltas and the same items. `output_text`, `items` and `dropped` are of
    the present epoch only.
    """

    __slots__ = (
        "_guard",
        "_link_hosts",
        "_maker",
        "_next_number",
        "_parser",
        "_pending_text",
        "_ready",
        "_written",
        "_written_chars",
        "dropped",
        "epoch",
        "items",
        "response_id",
        "state",
    )

    def __init__(
        self, response_id: str, *, epoch: int = 1, link_hosts: Collection[str] = ()
    ) -> None:
        self.response_id = response_id
        self.state = AnswerState.NEW
        self._link_hosts = link_hosts
        self._maker = ItemMaker()
        self._ready: list[AnyAnswerEvent] = []
        self._open(epoch)

    def _open(self, epoch: int) -> None:
        """Begin an epoch: of the text and items before it nothing is left."""
        self.epoch = epoch
        self.items: list[AnyItem] = []
        self.dropped: Counter[DropReason] = Counter()
        self._next_number = 0
        self._parser = MarkerParser()
        self._guard = OutputGuard(self._link_hosts)
        self._written: list[str] = []
        self._written_chars = 0
        self._pending_text: list[str] = []

    @property
    def output_text(self) -> str:
        """The text so far, markers taken out."""
        return "".join(self._written)

    @property
    def has_text(self) -> bool:
        """Whether any text has come."""
        return self._written_chars > 0

    def create(self, response: StartedResponse, event_id: str | UnsetType) -> list[AnyAnswerEvent]:
        """Open the answer."""
        self._step("created")
        self._ready.append(
            ResponseCreated(**self._position(), response=response, event_id=event_id)
        )
        return self.take()

    def take_over(self) -> None:
        """Go on with an answer that another node opened; its events begin with this epoch."""
        self._step("taken_over")

    def report(
        self,
        stage: Stage,
        *,
        progress: float | UnsetType = UNSET,
        detail: dict[str, int | str | None] | UnsetType = UNSET,
        sources: tuple[Source, ...] | UnsetType = UNSET,
        manual: ManualFacts | UnsetType = UNSET,
    ) -> list[AnyAnswerEvent]:
        """Say what is being done."""
        self._step("in_progress")
        self._ready.append(
            ResponseInProgress(
                **self._position(),
                stage=stage,
                progress=progress,
                detail=detail,
                sources=sources,
                manual=manual,
            )
        )
        return self.take()

    def attempt(
        self,
        number: int,
        model: str,
        reason: AttemptReason,
        fallback: FallbackName | None,
    ) -> list[AnyAnswerEvent]:
        """Say which model is asked."""
        self._step("attempt")
        self._ready.append(
            AttemptStarted(
                **self._position(),
                attempt=number,
                model=model,
                reason=reason,
                fallback=UNSET if fallback is None else fallback,
            )
        )
        return self.take()

    def reset(self, reason: str) -> list[AnyAnswerEvent]:
        """End the epoch and open the next, in which the answer begins anew.

        Text that was not given out yet is dropped, for the client would discard it at once.
        """
        self._step("reset")
        self._ready.append(ResponseReset(**self._position(), reason=reason))
        self._open(self.epoch + 1)
        return self.take()

    def use(self, maker: ItemMaker) -> None:
        """Make items with `maker` from here on: the manual and the catalog are known."""
        self._maker = maker

    def feed(self, text: str) -> None:
        """Take model text."""
        self._absorb(self._parser.feed(text))

    def end_text(self) -> None:
        """Take the end of the model's text: what is still held back is text after all."""
        self._absorb(self._parser.close())
        self._write(self._guard.flush())

    def take(self) -> list[AnyAnswerEvent]:
        """Return the events that are ready, in order, each with its number."""
        if self._pending_text:
            self._flush_text()
        events, self._ready = self._ready, []
        return events

    def finish(self, response: FinalResponse) -> list[AnyAnswerEvent]:
        """Close the answer with its terminal event."""
        self._flush_text()
        self._step("terminal")
        terminal = TERMINAL_EVENTS[response.status]
        self._ready.append(terminal(**self._position(), response=response))
        return self.take()

    def _absorb(self, parts: Sequence[PlainText | Marker]) -> None:
        for part in parts:
            if isinstance(part, PlainText):
                self._write(self._guard.feed(part.text))
            else:
                self._add_item(part)

    def _write(self, text: str) -> None:
        if not text:
            return
        self._written.append(text)
        self._written_chars += len(text)
        self._pending_text.append(text)

    def _add_item(self, marker: Marker) -> None:
        self._write(self._guard.flush())
        item_id = self._next_item_id()
        body = marker.body if marker.kind == "citation" else self._guard.clean(marker.body)
        made = self._maker.make(marker.kind, body, item_id, self._written_chars, self._claim())
        if isinstance(made, str):
            self.dropped[made] += 1
            return
        self._flush_text()
        self._step("item")
        self.items.append(made)
        self._ready.append(OutputItemDone(**self._position(), item=made))

    def _claim(self) -> str:
        """Return the end of the text so far, which an item may stand for."""
        chars, at = 0, len(self._written)
        while at and chars < MAX_CLAIM_CHARS:
            at -= 1
            chars += len(self._written[at])
        return "".join(self._written[at:])[-MAX_CLAIM_CHARS:]

    def _next_item_id(self) -> str:
        """Return an id that no item of this answer has had, be it one of a discarded epoch."""
        number = len(self.items) + 1
        return f"item_{number}" if self.epoch == 1 else f"item_{self.epoch}_{number}"

    def _flush_text(self) -> None:
        if self._pending_text:
            if self.state is not AnswerState.STREAMING:
                self._step("delta")
            delta = "".join(self._pending_text)
            self._pending_text.clear()
            self._ready.append(
                OutputTextDelta(
                    response_id=self.response_id,
                    epoch=self.epoch,
                    sequence_number=self._next_number,
                    delta=delta,
                )
            )
            self._next_number += 1

    def _step(self, step: AnswerStep) -> None:
        self.state = next_answer_state(self.state, step)

    def _position(self) -> _Position:
        number = self._next_number
        self._next_number += 1
        return {"response_id": self.response_id, "epoch": self.epoch, "sequence_number": number}
