"""The rules of each format, held against the very bytes that are about to be written.

Each validator takes one line and returns None, or why the format's reader would not have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from server.datasets.examples import Reason
from server.datasets.shapes import (
    GeminiContent,
    GeminiPreference,
    GeminiSystem,
    GeminiTuning,
    Message,
    OpenAIChat,
    OpenAIPreference,
    TrlPreference,
)

OPENAI_MAX_TOKENS = 65_536
"""A longer example is cut in training ("training example context length", gpt-4o and later)."""
GEMINI_MAX_TOKENS = 131_072
"""`Maximum input and output training tokens` of Gemini's supervised tuning; preference tuning says
128K for the two together."""

# A token is at least a byte of text, so that many bytes are sure to fit whatever the tokeniser.

T = TypeVar("T")

_openai_chat = msgspec.json.Decoder(OpenAIChat)
_openai_preference = msgspec.json.Decoder(OpenAIPreference)
_trl = msgspec.json.Decoder(TrlPreference)
_gemini_tuning = msgspec.json.Decoder(GeminiTuning)
_gemini_preference = msgspec.json.Decoder(GeminiPreference)


def check_openai_chat(line: bytes) -> Reason | None:
    """OpenAI, "Supervised fine-tuning" and the cookbook's "Data preparation and analysis for chat
    model fine-tuning": an object with `messages`; each message has `role` (system, user or
    assistant) and textual `content`, no other key; there is at least one assistant message. The
    last is the one that is learnt. https://developers.openai.com/api/docs/guides/supervised-fine-tuning
    """
    found = _decode(_openai_chat, line)
    if found is None or not found.messages:
        return "invalid_line"
    if found.messages[-1].role != "assistant":
        return "invalid_line"
    return (
        _prompt_fault(found.messages[:-1])
        or _text_fault([message.content for message in found.messages])
        or _length_fault([message.content for message in found.messages], OPENAI_MAX_TOKENS)
    )


def check_openai_preference(line: bytes) -> Reason | None:
    """OpenAI, "Direct preference optimization": `input` with `messages`, a `preferred_output` and a
    `non_preferred_output`; text only; each output is one assistant message.
    https://developers.openai.com/api/docs/guides/direct-preference-optimization
    """
    found = _decode(_openai_preference, line)
    if found is None:
        return "invalid_line"
    return _messages_fault(found.input.messages, found.preferred_output, found.non_preferred_output)


def check_trl(line: bytes) -> Reason | None:
    """TRL, "Dataset formats and types", preference, conversational, explicit prompt: `prompt`,
    `chosen` and `rejected` are lists of messages with `role` and `content`; the prompt ends with
    the user, the other two are the assistant's. https://huggingface.co/docs/trl/dataset_formats
    """
    found = _decode(_trl, line)
    if found is None:
        return "invalid_line"
    return _messages_fault(found.prompt, found.chosen, found.rejected)


def check_gemini_tuning(line: bytes) -> Reason | None:
    """Google Cloud, "Prepare supervised fine-tuning data for Gemini models": `contents` of turns
    with `role` user or model and `parts` of text, optional `systemInstruction`; at most 131,072
    tokens in and out. The model's turn, the last, is what is learnt.
    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
    """
    found = _decode(_gemini_tuning, line)
    if found is None or [turn.role for turn in found.contents[-2:]] != ["user", "model"]:
        return "invalid_line"
    texts = [*_texts(found.contents), *_texts([found.system_instruction])]
    return _text_fault(texts) or _length_fault(texts, GEMINI_MAX_TOKENS)


def check_gemini_preference(line: bytes) -> Reason | None:
    """Google Cloud, "Prepare preference tuning data for Gemini models": `contents` end with a user
    turn; exactly two `completions`, each a single model turn, one preferred (score 1) and one not
    (score 0); text only; at most 128K tokens of input and longest completion together.
    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-preference-tuning-prepare
    """
    found = _decode(_gemini_preference, line)
    if found is None or not found.contents or found.contents[-1].role != "user":
        return "invalid_line"
    turns = [completion.completion for completion in found.completions]
    scores = sorted(completion.score for completion in found.completions)
    if scores != [0, 1] or any(turn.role != "model" for turn in turns):
        return "invalid_line"
    prompt = [*_texts(found.contents), *_texts([found.system_instruction])]
    return (
        _text_fault([*prompt, *_texts(turns)])
        or _difference_fault(*_texts(turns))
        or _length_fault([*prompt, max(_texts(turns), key=_size)], GEMINI_MAX_TOKENS)
    )


def _messages_fault(
    prompt: Sequence[Message], preferred: Sequence[Message], rejected: Sequence[Message]
) -> Reason | None:
    for output in (preferred, rejected):
        if [message.role for message in output] != ["assistant"]:
            return "invalid_line"
    texts = [message.content for message in prompt]
    sides = (preferred[0].content, rejected[0].content)
    return (
        _prompt_fault(prompt)
        or _text_fault([*texts, *sides])
        or _difference_fault(*sides)
        or _length_fault([*texts, max(sides, key=_size)], OPENAI_MAX_TOKENS)
    )


def _prompt_fault(prompt: Sequence[Message]) -> Reason | None:
    roles = [message.role for message in prompt]
    ordered = bool(roles) and roles[-1] == "user" and "system" not in roles[1:]
    return None if ordered else "invalid_line"


def _text_fault(texts: Sequence[str]) -> Reason | None:
    return None if texts and all(text.strip() for text in texts) else "empty_answer"


def _difference_fault(preferred: str, rejected: str) -> Reason | None:
    return "same_text" if preferred.strip() == rejected.strip() else None


def _length_fault(texts: Sequence[str], limit: int) -> Reason | None:
    return "too_long" if sum(map(_size, texts)) > limit else None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _texts(contents: Sequence[GeminiContent | GeminiSystem | None]) -> list[str]:
    return ["".join(part.text for part in content.parts) for content in contents if content]


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T | None:
    if line[-1:] != b"\n" or b"\n" in line[:-1]:
        return None
    try:
        return decoder.decode(line)
    except msgspec.DecodeError:
        return None
