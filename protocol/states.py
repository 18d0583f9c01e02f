"""What is legal, as tables: the life of an answer and the life of a session."""

from __future__ import annotations

from enum import Enum
from typing import Literal


class AnswerState(Enum):
    """Where an answer is in its life."""

    NEW = "new"
    PREPARING = "preparing"  # created; stages are reported
    STREAMING = "streaming"  # a model was asked; text and items
    DONE = "done"  # the terminal event was given


AnswerStep = Literal[
    "created", "taken_over", "in_progress", "attempt", "delta", "item", "reset", "terminal"
]

ANSWER_TRANSITIONS: dict[tuple[AnswerState, AnswerStep], AnswerState] = {
    (AnswerState.NEW, "created"): AnswerState.PREPARING,
    (AnswerState.NEW, "taken_over"): AnswerState.PREPARING,  # created by another node
    (AnswerState.PREPARING, "in_progress"): AnswerState.PREPARING,
    (AnswerState.PREPARING, "attempt"): AnswerState.STREAMING,
    (AnswerState.PREPARING, "delta"): AnswerState.STREAMING,  # an answer given before
    (AnswerState.PREPARING, "item"): AnswerState.STREAMING,
    (AnswerState.PREPARING, "terminal"): AnswerState.DONE,
    (AnswerState.STREAMING, "attempt"): AnswerState.STREAMING,
    (AnswerState.STREAMING, "delta"): AnswerState.STREAMING,
    (AnswerState.STREAMING, "item"): AnswerState.STREAMING,
    (AnswerState.STREAMING, "reset"): AnswerState.STREAMING,
    (AnswerState.STREAMING, "terminal"): AnswerState.DONE,
}


class SessionState(Enum):
    """Where a connection is in its life."""

    OPEN = "open"
    DRAINING = "draining"  # finishes what runs, takes nothing new
    CLOSED = "closed"


SessionStep = Literal["frame", "drain", "close"]

SESSION_TRANSITIONS: dict[tuple[SessionState, SessionStep], SessionState] = {
    (SessionState.OPEN, "frame"): SessionState.OPEN,
    (SessionState.OPEN, "drain"): SessionState.DRAINING,
    (SessionState.OPEN, "close"): SessionState.CLOSED,
    (SessionState.DRAINING, "frame"): SessionState.DRAINING,
    (SessionState.DRAINING, "drain"): SessionState.DRAINING,
    (SessionState.DRAINING, "close"): SessionState.CLOSED,
    (SessionState.CLOSED, "close"): SessionState.CLOSED,
}


class IllegalStepError(RuntimeError):
    """The code asked for a step that the table does not have: a fault of ours."""


def next_answer_state(state: AnswerState, step: AnswerStep) -> AnswerState:
    """Return the state after `step`; raises `IllegalStepError`."""
    try:
        return ANSWER_TRANSITIONS[state, step]
    except KeyError:
        raise IllegalStepError(f"an answer that is {state.value} has no step {step}") from None


def next_session_state(state: SessionState, step: SessionStep) -> SessionState:
    """Return the state after `step`; raises `IllegalStepError`."""
    try:
        return SESSION_TRANSITIONS[state, step]
    except KeyError:
        raise IllegalStepError(f"a session that is {state.value} has no step {step}") from None
