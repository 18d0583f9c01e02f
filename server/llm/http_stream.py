"""The one place that opens a streaming request to a model's server over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson

from server.llm.port import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    TextDelta,
    UpstreamError,
    Usage,
)
from server.llm.sse import ServerSentEvent, SseError, SseParser
from server.llm.statuses import error_from_object, error_from_status, parse_retry_after
from server.llm.usage import OutputBudget, estimate_usage

MAX_BODY_BYTES = 8 * 2**20
"""The most bytes of one answer: 1,000 times a long one. More is a fault or an attack."""

MAX_MALFORMED_EVENTS = 8
"""Events of one answer that may be skipped as unreadable; more and the stream is given up."""

LAST_WORDS_S = 1.0
"""After the finish reason: how long to wait for the usage, and for the end of the response so
that its connection can be used again."""


@dataclass(slots=True)
class Reply:
    """What a decoder has learned of the answer beside its text.

    `done` is set when nothing of interest can follow. `candidates` tells whether the provider
    has shown any answer at all, be it an empty one.
    """

    finish: FinishReason | None = None
    usage: Usage | None = None
    done: bool = False
    candidates: bool = False


class MalformedEventError(ValueError):
    """An event is JSON, but not of the shape that the protocol gives it."""


Decoder = Callable[[bytes, Reply], str]
"""Reads one event's data: returns its text, notes the rest in the `Reply`. Pure.

Raises `ValueError` when the data is not what the protocol says, `UpstreamError` when it is an
error object.
"""


async def stream_events(
    client: httpx.AsyncClient,
    url: str,
    *,
    headers: dict[str, str],
    body: dict[str, Any],
    decode: Decoder,
    request: ModelRequest,
    on_malformed: Callable[[], None],
) -> AsyncGenerator[ModelEvent, None]:
    """Post `body` and give the answer as model events: text, then a `Usage`, then a `Finish`.

    Closing the generator closes the connection at once. `on_malformed` is called for each event
    that is skipped. Raises `UpstreamError`.
    """
    reply = Reply()
    budget = OutputBudget(request.max_output_tokens)
    texts = _texts(client, url, headers, body, _Reader(decode, reply, on_malformed))
    async with aclosing(texts):
        async for pieces in texts:
            allowed = list(budget.admit(pieces))
            if budget.is_exceeded:
                reply.finish = "length"
            yield TextDelta("".join(allowed), is_last=reply.finish is not None)
            if budget.is_exceeded:
                break
    reason = _settle(reply, budget.chars)
    yield reply.usage or estimate_usage(request, budget.chars)
    yield Finish(reason)


def _settle(reply: Reply, output_chars: int) -> FinishReason:
    """Why the answer ended, now that its stream has."""
    if reply.finish is not None:
        return reply.finish
    if output_chars:
        return "truncated"
    if reply.usage is not None and not reply.candidates:
        return "blocked"  # the prompt was counted and no answer to it was given
    raise UpstreamError("malformed", "the stream ended without any answer")


class _Reader:
    """Bytes in, texts out: the parser, the decoder and the limits of one response."""

    __slots__ = (
        "_bytes",
        "_decode",
        "_malformed",
        "_on_malformed",
        "_parser",
        "reply",
    )

    def __init__(self, decode: Decoder, reply: Reply, on_malformed: Callable[[], None]) -> None:
        self.reply = reply
        self._decode = decode
        self._on_malformed = on_malformed
        self._parser = SseParser()
        self._bytes = 0
        self._malformed = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the texts of the events that `data` completes."""
        self._bytes += len(data)
        if self._bytes > MAX_BODY_BYTES:
            raise UpstreamError("too_large", f"the answer is over {MAX_BODY_BYTES} bytes")
        try:
            events = self._parser.feed(data)
        except SseError as error:
            raise UpstreamError("malformed", f"the stream cannot be read: {error}") from error
        return self._read(events)

    def close(self) -> Iterator[str]:
        return self._read(self._parser.close())

    def _read(self, events: list[ServerSentEvent]) -> Iterator[str]:
        for event in events:
            if self.reply.done:
                return
            text = self._read_one(event)
            if text:
                yield text

    def _read_one(self, event: ServerSentEvent) -> str:
        try:
            text = self._decode(event.data, self.reply)
        except ValueError as error:
            if event.event == "error":
                raise error_from_object(None) from error
            self._skip(error)
            return ""
        if event.event == "error":
            raise error_from_object(None)
        return text

    def _skip(self, error: ValueError) -> None:
        self._on_malformed()
        self._malformed += 1
        if self._malformed > MAX_MALFORMED_EVENTS:
            message = f"more than {MAX_MALFORMED_EVENTS} events of the stream cannot be read"
            raise UpstreamError("malformed", message) from error


async def _texts(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], body: object, reader: _Reader
) -> AsyncGenerator[list[str], None]:
    """Open the response and read it to its end, the texts that came together at a time.

    What fails after the finish is no failure.
    """
    response = await _open(client, url, headers, orjson.dumps(body))
    try:
        _refuse_unreadable(response)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = cast("AsyncGenerator[bytes, None]", aiter(response.stream))
        at_end = False
        async with aclosing(chunks):
            while not at_end:
                chunk = await _next_chunk(chunks, reader.reply)
                at_end = chunk is None
                texts, error = _gather(reader.close() if chunk is None else reader.feed(chunk))
                if texts:
                    yield texts
                if error is not None:
                    raise error
    finally:
        await response.aclose()


def _gather(texts: Iterator[str]) -> tuple[list[str], UpstreamError | None]:
    """Return what `texts` has, and the error that ended it."""
    found: list[str] = []
    try:
        found.extend(texts)  # keeps what came before an error
    except UpstreamError as error:
        return found, error
    return found, None


async def _open(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], content: bytes
) -> httpx.Response:
    request = client.build_request(
        "POST", url, content=content, headers={**headers, "content-type": "application/json"}
    )
    try:
        return await client.send(request, stream=True)
    except httpx.TransportError as error:
        raise _connection_error(error) from None


def _refuse_unreadable(response: httpx.Response) -> None:
    """Raise for a status other than success, and for an encoding: those can hide a bomb."""
    if not response.is_success:
        wish = parse_retry_after(response.headers.get("retry-after"), time.time())
        raise error_from_status(response.status_code, wish)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UpstreamError("malformed", "the model's server sent a compressed answer unasked")


async def _next_chunk(chunks: AsyncGenerator[bytes, None], reply: Reply) -> bytes | None:
    """The next bytes, None at the end; once the finish is known, any failure is the end too."""
    known = reply.done or reply.finish is not None
    try:
        if not known:
            return await anext(chunks, None)
        async with asyncio.timeout(LAST_WORDS_S):
            return await anext(chunks, None)
    except TimeoutError:
        return None
    except httpx.TransportError as error:
        if known:
            return None
        raise _connection_error(error) from None


def _connection_error(error: httpx.TransportError) -> UpstreamError:
    """Says how the connection failed, without httpx's words: those can hold addresses with keys."""
    if isinstance(error, httpx.ConnectError):
        return UpstreamError("connect", "the model's server cannot be reached")
    if isinstance(error, httpx.UnsupportedProtocol):
        return UpstreamError("refused", "the model's address must begin with http:// or https://")
    return UpstreamError("connect", "the connection to the model's server broke")


async def check_reachable(
    client: httpx.AsyncClient, url: str, *, headers: dict[str, str], timeout_s: float
) -> int:
    """Get `url` and return its status without reading its body; costs no tokens.

    Raises `UpstreamError` when there is no answer, for 401, 403 and 429, and from 500 on.
    """
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream("GET", url, headers=headers) as response,
        ):
            status = response.status_code
    except TimeoutError:
        raise UpstreamError("timeout", f"no answer within {timeout_s:g} s") from None
    except httpx.TransportError as error:
        raise _connection_error(error) from None
    if status in (401, 403, 429) or status >= 500:
        raise error_from_status(status)
    return status
