"""Gemini through Google's `google-generativeai` package, which is an optional part.

The package's support ended on 30 November 2025. Over REST it reads the answer in blocking calls,
so each answer has a thread here; it looks one chunk ahead, so every chunk is seen when the next
one comes; and it drops error objects inside a stream, which then shows as `truncated`. The
`gemini` adapter has none of these limits.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from server.llm.deadlines import within_deadlines
from server.llm.gemini import FINISH_REASONS, contents, model_path
from server.llm.port import (
    Finish,
    FinishReason,
    MissingExtraError,
    ModelEvent,
    ModelRequest,
    TextDelta,
    UpstreamError,
    Usage,
)
from server.llm.sdk_guard import CURRENT, Cancel, guard
from server.llm.statuses import error_from_status, parse_retry_after
from server.llm.usage import OutputBudget, estimate_usage

_Untyped = Any
"""What the package hands out: it has types, and none that help here."""


def import_sdk() -> tuple[Any, Any]:
    """`google.generativeai` and `google.ai.generativelanguage`, without their warnings.

    Importing takes about a second. Raises `MissingExtraError`.
    """
    with warnings.catch_warnings():
        # It warns of its end at every import, and of other packages' changes; nobody here can act.
        warnings.simplefilter("ignore")
        try:
            return (
                importlib.import_module("google.generativeai"),
                importlib.import_module("google.ai.generativelanguage"),
            )
        except ImportError as error:
            message = "gemini-sdk needs an optional part: pip install 'manicule[gemini-sdk]'"
            raise MissingExtraError(message) from error


class GeminiSdk:
    """A Gemini model by Google's own client. Raises `MissingExtraError` when that is absent."""

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str,
        first_token_timeout_s: float,
        inter_token_timeout_s: float,
    ) -> None:
        self.name = f"gemini-sdk:{model}"
        self._path = model_path(model)
        self._first_token_timeout_s = first_token_timeout_s
        self._inter_token_timeout_s = inter_token_timeout_s
        self._sdk, low_level = import_sdk()
        options = {"api_key": api_key, "api_endpoint": base_url.rstrip("/")}
        # A client of our own: `configure` would set one key for the whole process.
        self._client = low_level.GenerativeServiceClient(transport="rest", client_options=options)
        self._models = low_level.ModelServiceClient(transport="rest", client_options=options)
        for client in (self._client, self._models):
            guard(client.transport._session)

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer the request; see `server.llm.port.Model`."""
        return within_deadlines(
            self._run(request),
            first_token_timeout_s=self._first_token_timeout_s,
            inter_token_timeout_s=self._inter_token_timeout_s,
        )

    async def check(self) -> None:
        """Ask for the model's description; raises `UpstreamError` when it cannot be had."""

        def get() -> None:
            try:
                self._models.get_model(
                    name=self._path, retry=None, timeout=self._first_token_timeout_s
                )
            except Exception as error:  # noqa: BLE001 the package raises from many hierarchies
                raise _translate(error) from None

        await asyncio.to_thread(get)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in (self._client, self._models):
            client.transport.close()

    async def _run(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        answer = _Answer(lambda: self._open(request))
        budget = OutputBudget(request.max_output_tokens)
        finish: FinishReason | None = None
        try:
            async for text in answer.texts():
                for piece in budget.admit([text]):
                    yield TextDelta(piece)
                if budget.is_exceeded:
                    finish = "length"
                    break
        finally:
            answer.stop()
        finish = finish or answer.finish
        if finish is None and answer.usage is not None and not answer.candidates:
            finish = "blocked"  # the prompt was counted and no answer to it was given
        if finish is None and not budget.chars:
            raise UpstreamError("malformed", "the stream ended without any answer")
        yield answer.usage or estimate_usage(request, budget.chars)
        yield Finish(finish or "truncated")

    def _open(self, request: ModelRequest) -> Iterator[Any]:
        """Send the request (blocking) and give the chunks (blocking)."""
        model = self._sdk.GenerativeModel(self._path, system_instruction=request.system or None)
        model._client = self._client
        response = model.generate_content(
            contents(request),
            generation_config={
                "max_output_tokens": request.max_output_tokens,
                "temperature": request.temperature,
            },
            stream=True,
            # Its own defaults are 10 minutes and retries for as long.
            request_options={
                "timeout": max(self._first_token_timeout_s, self._inter_token_timeout_s),
                "retry": None,
            },
        )
        return iter(response)


class _Answer:
    """One answer read in a thread of its own; texts cross to the event loop in order."""

    def __init__(self, open_chunks: Callable[[], Iterator[Any]]) -> None:
        self.finish: FinishReason | None = None
        self.usage: Usage | None = None
        self.candidates = False
        self._open_chunks = open_chunks
        self._loop = asyncio.get_running_loop()
        # Not bounded here: `guard` bounds the whole body, and the thread must never block on us.
        self._queue: asyncio.Queue[str | UpstreamError | None] = asyncio.Queue()
        self._cancel = Cancel()
        self._thread = threading.Thread(target=self._read, name="gemini-sdk", daemon=True)

    async def texts(self) -> AsyncGenerator[str, None]:
        self._thread.start()
        while (item := await self._queue.get()) is not None:
            if isinstance(item, UpstreamError):
                raise item
            yield item

    def stop(self) -> None:
        """Read no further: the connection is shut, which wakes the thread, and it ends."""
        self._cancel.cancel()

    def _read(self) -> None:
        CURRENT.cancel = self._cancel
        last: str | UpstreamError | None = None
        try:
            for chunk in self._open_chunks():
                text = self._read_chunk(chunk)
                if text:
                    self._put(text)
        except Exception as error:  # noqa: BLE001 nothing may end the thread unheard
            last = self._ending(error)
        finally:
            self._cancel.close()
            self._put(last)

    def _ending(self, error: Exception) -> UpstreamError | None:
        if type(error).__name__ == "BlockedPromptException":
            self.finish = "blocked"
        if self.finish is not None or self._cancel.cancelled:
            return None
        return _translate(error)

    def _read_chunk(self, chunk: _Untyped) -> str:
        usage = chunk.usage_metadata
        if usage.total_token_count or usage.prompt_token_count:
            self.usage = Usage(
                input_tokens=usage.prompt_token_count,
                # Thoughts are billed as output and only show in the total.
                output_tokens=max(
                    usage.candidates_token_count,
                    usage.total_token_count - usage.prompt_token_count,
                ),
                cached_tokens=usage.cached_content_token_count,
            )
        if not chunk.candidates:
            return ""
        self.candidates = True
        candidate = chunk.candidates[0]
        reason = candidate.finish_reason.name
        if reason != "FINISH_REASON_UNSPECIFIED":
            self.finish = FINISH_REASONS.get(reason, "truncated")
        return "".join(part.text for part in candidate.content.parts if "text" in part)

    def _put(self, item: str | UpstreamError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:
            self._cancel.cancel()  # the loop is gone, and with it whoever asked


def _translate(error: Exception) -> UpstreamError:
    """The package's many exceptions as one of ours, without their words."""
    if isinstance(error, UpstreamError):
        return error
    code = getattr(error, "code", None)
    if isinstance(code, int) and 400 <= int(code) < 600:
        response = getattr(error, "response", None)
        headers = getattr(response, "headers", {})
        return error_from_status(
            int(code), parse_retry_after(headers.get("retry-after"), time.time())
        )
    names = {base.__name__ for base in type(error).__mro__}
    if "Timeout" in names or "RetryError" in names:
        return UpstreamError("timeout", "the model's server did not answer in time")
    if isinstance(error, OSError) or names & {"HTTPError", "ProtocolError"}:
        return UpstreamError("connect", "the connection to the model's server broke")
    return UpstreamError("malformed", "the model's answer cannot be read")
