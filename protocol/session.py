"""One connection, without I/O: frames in, commands out.

The shell reads a frame, hands it to `Session.receive`, and does what comes back, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from msgspec import UNSET, structs

from protocol.codec import decode, error_event
from protocol.errors import CloseCode, ErrorCode, EventError
from protocol.events import (
    Pong,
    RateLimitsUpdated,
    SessionCreated,
    SessionFacts,
    SessionGoAway,
    SessionUpdated,
)
from protocol.messages import (
    AnyClientEvent,
    CatalogSearch,
    FeedbackCreate,
    InsightsSubscribe,
    InsightsUnsubscribe,
    Message,
    Ping,
    ResponseCancel,
    ResponseCreate,
    ResponseRegenerate,
    ResponseResume,
    SessionUpdate,
)
from protocol.rates import TokenBucket
from protocol.states import SessionState, next_session_state

# A client that sends this many bad frames in a row is broken, not unlucky.
MAX_BAD_FRAMES = 10

# What this server does not keep yet, and the error that says so.
UNSERVED: dict[type[AnyClientEvent], tuple[ErrorCode, str]] = {
    ResponseRegenerate: (
        "response_not_found",
        "This server does not regenerate answers; send a new response.create",
    ),
    InsightsSubscribe: (
        "store_unavailable",
        "This server keeps no statistics; there is nothing to subscribe to",
    ),
    InsightsUnsubscribe: (
        "store_unavailable",
        "This server keeps no statistics; there is nothing to unsubscribe from",
    ),
}


@dataclass(frozen=True, slots=True)
class Send:
    """Send this event."""

    event: Message


@dataclass(frozen=True, slots=True)
class Search:
    """Search the catalog and send the results."""

    event: CatalogSearch


@dataclass(frozen=True, slots=True)
class Start:
    """Start an answer; call `Session.answer_started` with its id."""

    event: ResponseCreate


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the answer if it runs and its asker is the one of this session."""

    event: ResponseCancel


@dataclass(frozen=True, slots=True)
class Resume:
    """Send the answer's events after a position, if it is the asker's."""

    event: ResponseResume


@dataclass(frozen=True, slots=True)
class Judge:
    """Make this feedback durable, then acknowledge it."""

    event: FeedbackCreate


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Look at the token; call `Session.authenticated` when it is good, else close with 4401."""

    event: SessionUpdate


@dataclass(frozen=True, slots=True)
class Close:
    """Send nothing more and close the socket."""

    code: CloseCode
    reason: str


Command = Send | Search | Start | Cancel | Resume | Judge | Authenticate | Close


class Session:
    """What one connection may do, and what it is doing.

    With `needs_token` nothing but `ping` and `session.update` is served before `authenticated`.
    `facts` is told to the client; its limits are enforced here. `allows` is asked of each event
    whether whoever is there may send it. `now` is seconds of a monotonic
    clock.
    """

    def __init__(
        self,
        facts: SessionFacts,
        *,
        needs_token: bool = False,
        allows: Callable[[AnyClientEvent], bool] = lambda _: True,
    ) -> None:
        self.facts = facts
        self._allows = allows
        self._needs_token = needs_token
        self.state = SessionState.OPEN
        self.running: set[str] = set()
        self.user_id: str | None = None
        self.language: str | None = None
        self._bad_frames = 0
        self._bucket = TokenBucket(facts.limits.requests_per_minute)

    def open(self) -> list[Command]:
        """Return what is said first."""
        facts = structs.replace(self.facts, needs_token=True) if self._needs_token else self.facts
        return [Send(SessionCreated(session=facts))]

    def receive(self, frame: str | bytes, now: float) -> list[Command]:
        """Take one frame (`bytes` is a binary frame) and return what to do."""
        self.state = next_session_state(self.state, "frame")
        try:
            if isinstance(frame, bytes):
                raise EventError(
                    "invalid_json", "Binary frames are not read; send JSON in a text frame"
                )
            event = decode(frame)
        except EventError as error:
            return self._refuse_frame(error)
        self._bad_frames = 0
        try:
            return self._dispatch(event, now)
        except EventError as error:
            if error.event_id is None and event.event_id is not UNSET:
                error.event_id = event.event_id
            commands: list[Command] = [Send(error_event(error))]
            if error.code == "rate_limited":
                commands.append(Send(self.rate_limits(now)))
            return commands

    def rate_limits(self, now: float) -> RateLimitsUpdated:
        """Return what is left of the connection's questions; told after each that was counted."""
        remaining, full_after_s = self._bucket.look(now)
        return RateLimitsUpdated(
            limit=self.facts.limits.requests_per_minute,
            remaining=remaining,
            reset_ms=int(full_after_s * 1000),
        )

    def authenticated(self, event: SessionUpdate) -> list[Command]:
        """Note that the token of `event` is good, and take the rest of the event."""
        self._needs_token = False
        return self._update(event)

    def answer_started(self, response_id: str) -> None:
        """Note that an answer runs that was asked for here."""
        self.running.add(response_id)

    def answer_ended(self, response_id: str) -> None:
        """Note that an answer gave its terminal event."""
        self.running.discard(response_id)

    def announce(self, *, resumable: bool) -> list[Command]:
        """Tell whether answers can be resumed from here on."""
        if self.state is SessionState.CLOSED or self.facts.resumable is resumable:
            return []
        self.facts = structs.replace(self.facts, resumable=resumable)
        if self._needs_token:
            return []  # it is told when it has said who it is
        return [Send(SessionUpdated(session=self.facts))]

    def drain(self, reason: str, time_left_ms: int) -> list[Command]:
        """Take nothing new from here on."""
        if self.state is not SessionState.OPEN:
            return []
        self.state = next_session_state(self.state, "drain")
        return [Send(SessionGoAway(reason=reason, time_left_ms=time_left_ms))]

    def close(self) -> None:
        """Note that the socket is closed, and let go of who was asked what is allowed."""
        self.state = next_session_state(self.state, "close")
        self._allows = lambda _: False

    def _refuse_frame(self, error: EventError) -> list[Command]:
        self._bad_frames += 1
        commands: list[Command] = [Send(error_event(error))]
        if self._bad_frames >= MAX_BAD_FRAMES:
            commands.append(
                Close(CloseCode.TOO_MANY_ERRORS, f"{MAX_BAD_FRAMES} bad frames in a row")
            )
        return commands

    def _dispatch(self, event: AnyClientEvent, now: float) -> list[Command]:
        if self._needs_token and not isinstance(event, Ping | SessionUpdate):
            raise EventError(
                "unauthorized", "Send session.update with a valid `token` first", param="token"
            )
        if not self._allows(event):
            raise EventError("forbidden", "The role of this key or token may not send this")
        match event:
            case Ping():
                return [Send(Pong(event_id=event.event_id))]
            case CatalogSearch():
                return [Search(event)]
            case SessionUpdate():
                return self._update(event) if event.token is UNSET else [Authenticate(event)]
            case FeedbackCreate():
                return [Judge(event)]
            case ResponseCreate():
                return [Start(self._admit(event, now))]
            case ResponseCancel():
                return [Cancel(event)]
            case ResponseResume():
                return [Resume(event)]
            case ResponseRegenerate() | InsightsSubscribe() | InsightsUnsubscribe():
                code, message = UNSERVED[type(event)]
                response_id = getattr(event, "response_id", None)
                raise EventError(code, message, response_id=response_id)
            case _:
                assert_never(event)

    def _update(self, event: SessionUpdate) -> list[Command]:
        if event.user_id is not UNSET:
            self.user_id = event.user_id
        if event.language is not UNSET:
            self.language = event.language
        return [Send(SessionUpdated(session=self.facts, event_id=event.event_id))]

    def _admit(self, event: ResponseCreate, now: float) -> ResponseCreate:
        if self.state is SessionState.DRAINING:
            raise EventError("draining", "The server is going away; connect again and ask there")
        limit = self.facts.limits.max_concurrent_responses
        if len(self.running) >= limit:
            raise EventError(
                "too_many_responses",
                f"{limit} answers are running on this connection; wait for one to end",
            )
        wait_s = self._bucket.take(now)
        if wait_s:
            raise EventError(
                "rate_limited",
                f"More than {self.facts.limits.requests_per_minute} questions in a minute; wait",
                retry_after_ms=int(wait_s * 1000) + 1,
            )
        return structs.replace(
            event,
            user_id=event.user_id or self.user_id or UNSET,
            language=event.language or self.language or UNSET,
        )
