"""The Gemini API over REST: `streamGenerateContent` with Server-Sent Events."""

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

_MODEL_NAME = re.compile(r"(?:models/|tunedModels/)?[A-Za-z0-9][A-Za-z0-9._-]*")

FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "blocked",
    "RECITATION": "blocked",
    "LANGUAGE": "blocked",
    "BLOCKLIST": "blocked",
    "PROHIBITED_CONTENT": "blocked",
    "SPII": "blocked",
    "IMAGE_SAFETY": "blocked",
}
"""Of `Candidate.FinishReason`; what is not here (OTHER, new ones) counts as `truncated`."""


def model_path(name: str) -> str:
    """`models/NAME`, as the API's addresses have it. Raises `ValueError` for other characters."""
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of a Gemini model, such as gemini-2.5-flash")
    return name if "/" in name else f"models/{name}"


def thinking_config(name: str) -> dict[str, Any]:
    """Turn thinking off, or down, where the model has a budget for it.

    Thinking delays the first token and is taken from the same `maxOutputTokens`. The 2.5 family
    documents its budgets (0 is off; Pro cannot go under 128); others are left as they are.
    """
    if name.startswith("gemini-2.5-flash"):
        return {"thinkingConfig": {"thinkingBudget": 0}}
    if name.startswith("gemini-2.5-pro"):
        return {"thinkingConfig": {"thinkingBudget": 128}}
    return {}


def contents(request: ModelRequest) -> list[dict[str, Any]]:
    """The conversation: earlier turns, then manual and question as parts of their own."""
    turns = [
        {
            "role": "user" if turn.role == "user" else "model",
            "parts": [{"text": turn.content}],
        }
        for turn in request.history
    ]
    texts = [text for text in (request.manual, request.question) if text]
    return [*turns, {"role": "user", "parts": [{"text": text} for text in texts]}]


def decode(data: bytes, reply: Reply) -> str:
    """Read one `GenerateContentResponse`: the text of its first candidate, thoughts left out."""
    chunk = orjson.loads(data)
    if not isinstance(chunk, dict):
        raise MalformedEventError("not an object")
    if "error" in chunk:
        raise error_from_object(chunk["error"])
    _read_usage(chunk.get("usageMetadata"), reply)
    feedback = chunk.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        reply.finish = "blocked"
    candidates = chunk.get("candidates")
    text = ""
    if isinstance(candidates, list) and candidates and isinstance(candidates[0], dict):
        reply.candidates = True
        text = _read_candidate(candidates[0], reply)
    elif candidates is None and reply.usage is None and reply.finish is None:
        raise MalformedEventError("no candidates, usage or feedback")
    return text


def _read_candidate(candidate: dict[str, Any], reply: Reply) -> str:
    reason = candidate.get("finishReason")
    if isinstance(reason, str) and reason:
        reply.finish = FINISH_REASONS.get(reason, "truncated")
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return "".join(
        part["text"]
        for part in parts or ()
        if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought")
    )


def _read_usage(metadata: object, reply: Reply) -> None:
    """Each chunk counts anew from the start, so the last one holds. Thoughts are output too."""
    if not isinstance(metadata, dict):
        return

    def count(name: str) -> int:
        value = metadata.get(name)
        return value if isinstance(value, int) and value > 0 else 0

    reply.usage = Usage(
        input_tokens=count("promptTokenCount"),
        output_tokens=count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cached_tokens=count("cachedContentTokenCount"),
    )


class Gemini(HttpModel):
    """A Gemini model by its REST API.

    `base_url` is the API's address; without a version at its end, `/v1beta` is added.
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
        version = "" if re.search(r"/v\d\w*$", base_url) else "/v1beta"
        url = f"{base_url}{version}/{model_path(model)}"
        super().__init__(
            f"gemini:{model}",
            url=f"{url}:streamGenerateContent?alt=sse",
            check_url=url,
            reached=(200,),
            headers={"x-goog-api-key": api_key},
            decode=decode,
            first_token_timeout_s=first_token_timeout_s,
            inter_token_timeout_s=inter_token_timeout_s,
            on_malformed=on_malformed,
            client=client,
            pace=pace,
        )
        self._model = model

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the body of a `GenerateContentRequest`."""
        body: dict[str, Any] = {
            "contents": contents(request),
            "generationConfig": {
                "maxOutputTokens": request.max_output_tokens,
                "temperature": request.temperature,
                **thinking_config(self._model),
            },
        }
        if request.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}]}
        return body
