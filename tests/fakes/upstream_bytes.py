"""The bytes of the fake upstream: what is to be answered, and how each provider says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TEXTS = ("The pedal ", "needs 9 V.\u2028", "Caf\u00e9 \U0001f600 ", "[MANUAL: p.12]")


@dataclass(frozen=True)
class Plan:
    """What is answered. Counts (`..._after`) are of texts that have been sent."""

    texts: Sequence[str] = TEXTS
    endless: bool = False  # repeat the texts until the client leaves
    rate_per_s: float = 0  # 0: as fast as they are taken
    first_token_s: float = 0
    finish: str | None = "stop"  # stop, length, blocked; None leaves it out
    usage: tuple[int, int, int] | None = (100, 7, 40)  # input, output, cached
    thoughts: int = 0  # tokens of hidden thinking, Gemini only; a thought part is sent with them
    no_candidates: bool = False  # Gemini: an answer without candidates
    block_reason: str | None = None  # Gemini: the prompt was refused
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # accept the request and never answer
    stall_after: int | None = None  # then say nothing until the client leaves
    reset_after: int | None = None  # then TCP reset
    cut_after: int | None = None  # then end the response properly, without the end of the answer
    error_after: int | None = None  # then an error object inside the stream
    error: dict[str, Any] = field(
        default_factory=lambda: {"code": 503, "status": "UNAVAILABLE", "message": "SECRET-BODY"}
    )
    done: bool = True  # OpenAI: [DONE]
    linger: bool = False  # keep the response open after the end of the answer
    slice_bytes: int = 0  # HTTP chunks of so many bytes
    slice_s: float = 0
    raw: bytes | None = None  # this body instead of an answer
    noise: bytes = b""  # these bytes before each event
    newline: bytes = b"\n"
    gzip_bytes: int = 0  # a compressed body that inflates to so many bytes


class Dialect:
    """How one provider's stream says text, end and error."""

    content_type = "text/event-stream"

    def text(self, plan: Plan, text: str) -> bytes:
        raise NotImplementedError

    def end(self, plan: Plan) -> bytes:
        raise NotImplementedError

    def error(self, plan: Plan) -> bytes:
        raise NotImplementedError


def dialect_of(path: str) -> Dialect:
    """How to answer a request for this path."""
    if "streamGenerateContent" not in path:
        return OpenAIBytes()
    return GeminiBytes() if "alt=sse" in path.split("?")[-1] else GeminiArrayBytes()


def _sse(plan: Plan, value: Any) -> bytes:
    data = json.dumps(value, ensure_ascii=False).encode()
    return b"data: " + data + plan.newline * 2


_GEMINI_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "blocked": "SAFETY"}
_OPENAI_REASONS = {"blocked": "content_filter"}


class GeminiBytes(Dialect):
    def text(self, plan: Plan, text: str) -> bytes:
        return self._chunk(plan, {"candidates": [self._candidate([{"text": text}])]})

    def end(self, plan: Plan) -> bytes:
        if plan.block_reason:
            return self._chunk(plan, {"promptFeedback": {"blockReason": plan.block_reason}})
        chunk: dict[str, Any] = {} if plan.no_candidates else {"candidates": [self._last(plan)]}
        if plan.usage:
            given, written, cached = plan.usage
            chunk["usageMetadata"] = {
                "promptTokenCount": given,
                "candidatesTokenCount": written,
                "cachedContentTokenCount": cached,
                "totalTokenCount": given + written + plan.thoughts,
            }
            if plan.thoughts:
                chunk["usageMetadata"]["thoughtsTokenCount"] = plan.thoughts
        return self._chunk(plan, chunk)

    def error(self, plan: Plan) -> bytes:
        return self._chunk(plan, {"error": plan.error})

    def _last(self, plan: Plan) -> dict[str, Any]:
        thought = [{"text": "SECRET-THOUGHT", "thought": True}] if plan.thoughts else []
        candidate = self._candidate(thought)
        if plan.finish:
            candidate["finishReason"] = _GEMINI_REASONS.get(plan.finish, plan.finish)
        return candidate

    def _candidate(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"content": {"role": "model", "parts": parts}, "index": 0}

    def _chunk(self, plan: Plan, chunk: dict[str, Any]) -> bytes:
        return _sse(plan, chunk)


class GeminiArrayBytes(GeminiBytes):
    """The REST stream without `alt=sse`: one JSON array that grows."""

    content_type = "application/json; charset=UTF-8"

    def __init__(self) -> None:
        self._opening = b"["

    def end(self, plan: Plan) -> bytes:
        return super().end(plan) + b"]"

    def _chunk(self, plan: Plan, chunk: dict[str, Any]) -> bytes:
        data = self._opening + json.dumps(chunk, ensure_ascii=False).encode()
        self._opening = b",\r\n"
        return data


class OpenAIBytes(Dialect):
    def text(self, plan: Plan, text: str) -> bytes:
        return _sse(plan, self._chunk([{"index": 0, "delta": {"content": text}}]))

    def end(self, plan: Plan) -> bytes:
        events = []
        if plan.finish:
            reason = _OPENAI_REASONS.get(plan.finish, plan.finish)
            events.append(self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}]))
        if plan.usage:
            given, written, cached = plan.usage
            usage = {
                "prompt_tokens": given,
                "completion_tokens": written,
                "total_tokens": given + written,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
            events.append(self._chunk([]) | {"usage": usage})
        done = b"data: [DONE]" + plan.newline * 2 if plan.done else b""
        return b"".join(_sse(plan, event) for event in events) + done

    def error(self, plan: Plan) -> bytes:
        return _sse(plan, {"error": plan.error})

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices}
