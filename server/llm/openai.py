"""Chat completions: OpenAI, and what speaks like it (vLLM, Ollama, llama.cpp, LM Studio)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from server.llm.http_model import HttpModel
from server.llm.http_stream import MalformedEventError, Reply
from server.llm.pacing import TimingWheel
from server.llm.port import FinishReason, ModelRequest, Usage
from server.llm.statuses import error_from_object

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "blocked",
}
"""What is not here (tool calls were not asked for) counts as `truncated`."""

_REASONING_MODEL = re.compile(r"(?:.*/)?(?:o\d|gpt-5)")
"""OpenAI's reasoning models refuse `max_tokens` and `temperature`; older and other servers know
nothing else than `max_tokens`."""


def messages(request: ModelRequest) -> list[dict[str, Any]]:
    """System, earlier turns, then manual and question as parts of one user message.

    Two user messages in a row would fail with chat templates that want the roles to alternate.
    """
    result: list[dict[str, Any]] = []
    if request.system:
        result.append({"role": "system", "content": request.system})
    result += [{"role": turn.role, "content": turn.content} for turn in request.history]
    question: Any = request.question
    texts = [text for text in (request.manual, request.question) if text]
    if len(texts) > 1:
        question = [{"type": "text", "text": text} for text in texts]
    result.append({"role": "user", "content": question})
    return result


def decode(data: bytes, reply: Reply) -> str:
    """Read one `chat.completion.chunk`, or `[DONE]`: the text of its first choice."""
    if data.strip() == b"[DONE]":
        reply.done = True
        return ""
    chunk = orjson.loads(data)
    if not isinstance(chunk, dict):
        raise MalformedEventError("not an object")
    if chunk.get("error") or chunk.get("object") == "error":
        raise error_from_object(chunk.get("error") or chunk)
    _read_usage(chunk.get("usage"), reply)
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        raise MalformedEventError("no choices")
    if not choices:
        return ""
    if not isinstance(choices[0], dict):
        raise MalformedEventError("a choice is not an object")
    reply.candidates = True
    return _read_choice(choices[0], reply)


def _read_choice(choice: dict[str, Any], reply: Reply) -> str:
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason:
        reply.finish = FINISH_REASONS.get(reason, "truncated")
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return ""
    content = delta.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise MalformedEventError("the content is not a string")
    return content


def _read_usage(usage: object, reply: Reply) -> None:
    if not isinstance(usage, dict):
        return
    details = usage.get("prompt_tokens_details")
    counts = [
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        details.get("cached_tokens") if isinstance(details, dict) else 0,
    ]
    prompt, completion, cached = (n if isinstance(n, int) and n > 0 else 0 for n in counts)
    reply.usage = Usage(prompt, completion, cached)


class OpenAI(HttpModel):
    """A model on a server that speaks OpenAI's chat completions.

    `base_url` is what stands before `/chat/completions`, such as `http://127.0.0.1:11434/v1`.
    Without a key no `Authorization` is sent. Not every compatible server has a list of models to
    check by, so 404 and 405 count as reached.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str,
        first_token_timeout_s: float,
        inter_token_timeout_s: float,
        on_malformed: Callable[[str], None] = lambda model: None,
        client: httpx.AsyncClient | None = None,
        pace: TimingWheel | None = None,
    ) -> None:
        base_url = base_url.rstrip("/")
        super().__init__(
            f"openai:{model}",
            url=f"{base_url}/chat/completions",
            check_url=f"{base_url}/models",
            reached=(200, 404, 405),
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            decode=decode,
            first_token_timeout_s=first_token_timeout_s,
            inter_token_timeout_s=inter_token_timeout_s,
            on_malformed=on_malformed,
            client=client,
            pace=pace,
        )
        self._model = model

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the body of a chat completion."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if _REASONING_MODEL.match(self._model):
            body["max_completion_tokens"] = request.max_output_tokens
        else:
            body["max_tokens"] = request.max_output_tokens
            body["temperature"] = request.temperature
        return body
