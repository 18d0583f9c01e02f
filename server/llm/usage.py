"""What a call used: estimates where the provider gives no numbers, and the limit on output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from server.llm.port import ModelRequest, Usage

CHARS_PER_TOKEN = 4
"""The usual rule of thumb for European languages; estimates made with it are marked as such."""


def estimate_usage(request: ModelRequest, output_chars: int) -> Usage:
    """Guess the usage of a call from lengths, rounded up, `estimated` set."""
    history = sum(len(turn.content) for turn in request.history)
    texts = (request.system, request.manual, request.question)
    input_chars = sum(map(len, texts)) + history
    return Usage(
        input_tokens=-(-input_chars // CHARS_PER_TOKEN),
        output_tokens=-(-output_chars // CHARS_PER_TOKEN),
        estimated=True,
    )


class OutputBudget:
    """Tells when a model has written more than it was allowed, for servers that ignore the limit.

    Tokens cannot be counted without the model's tokenizer, so this counts what there are at
    least: a delta holds a token or more unless a proxy has cut it finer (hence two characters
    each), and no common tokenizer packs more than eight characters of prose into one token.
    """

    __slots__ = (
        "_deltas",
        "_max_output_tokens",
        "chars",
        "is_exceeded",
    )

    def __init__(self, max_output_tokens: int) -> None:
        self._max_output_tokens = max_output_tokens
        self._deltas = 0
        self.chars = 0
        self.is_exceeded = False

    def admit(self, deltas: Iterable[str]) -> Iterator[str]:
        """Yield deltas up to the one with which the model is over its limit for certain."""
        for text in deltas:
            self._deltas += 1
            self.chars += len(text)
            at_least = max(min(self._deltas, self.chars // 2), self.chars // 8)
            yield text
            if at_least > self._max_output_tokens:
                self.is_exceeded = True
                return
