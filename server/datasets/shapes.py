"""The lines of each training format as strict types: what is not named here is refused."""

from __future__ import annotations

from typing import Literal

import msgspec


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base: unknown fields are errors, absent ones are not written."""


class Message(Shape, frozen=True):
    """A message of OpenAI's and TRL's formats."""

    role: Literal["system", "user", "assistant"]
    content: str


class OpenAIChat(Shape, frozen=True):
    """A line of OpenAI's supervised fine-tuning."""

    messages: list[Message]


class OpenAIInput(Shape, frozen=True):
    """The prompt of a line of OpenAI's preference fine-tuning."""

    messages: list[Message]


class OpenAIPreference(Shape, frozen=True):
    """A line of OpenAI's preference fine-tuning."""

    input: OpenAIInput
    preferred_output: list[Message]
    non_preferred_output: list[Message]


class TrlPreference(Shape, frozen=True):
    """A line of TRL's preference type in its conversational format, with explicit prompt."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]


class GeminiPart(Shape, frozen=True):
    """A part of Gemini's content; only text is written."""

    text: str


class GeminiContent(Shape, frozen=True):
    """A turn of Gemini's formats."""

    role: Literal["user", "model"]
    parts: list[GeminiPart]


class GeminiSystem(Shape, frozen=True):
    """Gemini's system instruction; its role is ignored there and not written here."""

    parts: list[GeminiPart]


class GeminiTuning(Shape, frozen=True, rename={"system_instruction": "systemInstruction"}):
    """A line of Gemini's supervised tuning."""

    contents: list[GeminiContent]
    system_instruction: GeminiSystem | None = None


class GeminiCompletion(Shape, frozen=True, omit_defaults=False):
    """One of the two completions of a preference line: 1 preferred, 0 not."""

    score: int
    completion: GeminiContent


class GeminiPreference(Shape, frozen=True):
    """A line of Gemini's preference tuning (here the field is `system_instruction`)."""

    contents: list[GeminiContent]
    completions: list[GeminiCompletion]
    system_instruction: GeminiSystem | None = None
