"""Examples and pairs as lines of JSON."""

from __future__ import annotations

import msgspec

from server.datasets.examples import Example, Pair
from server.datasets.shapes import (
    GeminiCompletion,
    GeminiContent,
    GeminiPart,
    GeminiPreference,
    GeminiSystem,
    GeminiTuning,
    Message,
    OpenAIChat,
    OpenAIInput,
    OpenAIPreference,
    Shape,
    TrlPreference,
)

_encoder = msgspec.json.Encoder()


def openai_chat(example: Example) -> bytes:
    """Return a line of OpenAI's supervised fine-tuning."""
    prompt = _prompt(example)
    return _line(OpenAIChat([*prompt, Message("assistant", example.answer)]))


def openai_preference(pair: Pair) -> bytes:
    """Return a line of OpenAI's preference fine-tuning."""
    return _line(
        OpenAIPreference(
            OpenAIInput(_prompt(pair)),
            [Message("assistant", pair.preferred)],
            [Message("assistant", pair.rejected)],
        )
    )


def trl_preference(pair: Pair) -> bytes:
    """Return a line of TRL's conversational preference format."""
    return _line(
        TrlPreference(
            _prompt(pair),
            [Message("assistant", pair.preferred)],
            [Message("assistant", pair.rejected)],
        )
    )


def gemini_tuning(example: Example) -> bytes:
    """Return a line of Gemini's supervised tuning."""
    turns = [_turn("user", example.question), _turn("model", example.answer)]
    return _line(GeminiTuning(turns, _instruction(example)))


def gemini_preference(pair: Pair) -> bytes:
    """Return a line of Gemini's preference tuning."""
    completions = [
        GeminiCompletion(1, _turn("model", pair.preferred)),
        GeminiCompletion(0, _turn("model", pair.rejected)),
    ]
    return _line(GeminiPreference([_turn("user", pair.question)], completions, _instruction(pair)))


def _prompt(source: Example | Pair) -> list[Message]:
    question = Message("user", source.question)
    return [Message("system", source.system), question] if source.system else [question]


def _instruction(source: Example | Pair) -> GeminiSystem | None:
    return GeminiSystem([GeminiPart(source.system)]) if source.system else None


def _turn(role: str, text: str) -> GeminiContent:
    return GeminiContent("user" if role == "user" else "model", [GeminiPart(text)])


def _line(shape: Shape) -> bytes:
    return one_line(_encoder.encode(shape))


def one_line(encoded: bytes) -> bytes:
    """Return JSON ended by a line feed, with nothing in it that any reader takes for a line's end.

    NEL and the Unicode line and paragraph separators are legal in JSON texts, but readers that go
    by `str.splitlines` cut there; written as escapes they mean the same.
    """
    if not encoded.isascii():
        encoded = (
            encoded.replace(b"\xc2\x85", b"\\u0085")
            .replace(b"\xe2\x80\xa8", b"\\u2028")
            .replace(b"\xe2\x80\xa9", b"\\u2029")
        )
    return encoded + b"\n"
