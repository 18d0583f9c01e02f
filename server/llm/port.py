"""The port every language model stands behind, and the values that cross it.

A model is asked with a `ModelRequest` and answers with a stream of `TextDelta`,
at most one `Usage` and exactly one `Finish`, in that order of kinds; or it raises
`UpstreamError`. Closing the stream (`aclose`) closes the upstream connection at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

FinishReason = Literal["stop", "length", "blocked", "truncated"]
"""`truncated`: the upstream ended without saying why, so the text may be cut."""

UpstreamErrorKind = Literal[
    "connect",
    "timeout",
    "rate_limited",
    "server",
    "refused",
    "malformed",
    "too_large",
    "unavailable",
]
"""`unavailable`: nobody was asked, since every model has lately failed or asked for a rest."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of the conversation, as the client sent it."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ContextPassage:
    """A piece of the manual that the model may use.

    `text` is verbatim manual text. `start_char` is its offset in the whole manual text, so
    `manual.text[start_char:start_char + len(text)] == text`. `score` is its share of the
    best possible score for this question, 0 to 1.
    """

    page: int
    heading: str
    text: str
    start_char: int
    score: float


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """All that a model gets, each kind of text in a part of its own.

    `system` is ours. `manual` is the rendered manual part (passages inside the per-request
    random boundary, already neutralised), empty when there is none. `question` is the user's,
    `history` the client's. `facts` are the catalog's lines about the product. `passages` are what
    `manual` was rendered from, for models that quote instead of writing.
    """

    system: str
    manual: str
    question: str
    passages: tuple[ContextPassage, ...] = ()
    history: tuple[Turn, ...] = ()
    product_name: str = ""
    facts: str = ""
    language: str = "en"
    max_output_tokens: int = 1024
    temperature: float = 0.2


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of model text, not yet parsed for markers.

    `is_last`: the model knows already that no text follows, so that nobody waits for more.
    """

    text: str
    is_last: bool = False


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call; `estimated` when the provider gave no numbers."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    estimated: bool = False


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The end of the stream. `signal` is the model's own confidence 0..1 where it has one."""

    reason: FinishReason
    signal: float | None = None


ModelEvent = TextDelta | Usage | Finish


class MissingExtraError(ImportError):
    """A model needs an optional part that is not installed."""


class UpstreamError(Exception):
    """A model could not answer. The message is ours and never an upstream body.

    `retryable` says whether the same or another model may succeed; `retry_after_s` is the
    provider's own wish where it gave one.
    """

    def __init__(
        self,
        kind: UpstreamErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: UpstreamErrorKind = kind
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """True when trying again or elsewhere makes sense."""
        return self.kind not in ("refused", "too_large")


class Model(Protocol):
    """One language model.

    `name` is what the client is told, such as `gemini:gemini-2.5-flash`.
    """

    @property
    def name(self) -> str:
        """What the client is told."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer the request as events; an async generator, so it has `aclose`."""
        ...

    async def check(self) -> None:
        """Return when the model can be reached, raise `UpstreamError` with the reason if not."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...
