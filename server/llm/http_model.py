"""What models behind an HTTP API share; each API adds its addresses, body and decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from server.llm.deadlines import within_deadlines
from server.llm.http_client import new_client
from server.llm.http_stream import Decoder, check_reachable, stream_events
from server.llm.pacing import TimingWheel
from server.llm.port import ModelEvent, ModelRequest
from server.llm.statuses import error_from_status


class HttpModel(ABC):
    """One model of one server, to be made by a class of its API, which writes `body`.

    Answers are asked for at `url`; `check_url` costs nothing and answers with one of `reached`
    when the model is there. `on_malformed(name)` is called for each event that is skipped. The
    client is closed with the model unless it was given. `pace` says when to look for more text.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        check_url: str,
        reached: tuple[int, ...],
        headers: dict[str, str],
        decode: Decoder,
        first_token_timeout_s: float,
        inter_token_timeout_s: float,
        on_malformed: Callable[[str], None],
        client: httpx.AsyncClient | None,
        pace: TimingWheel | None,
    ) -> None:
        self.name = name
        self._url = url
        self._check_url = check_url
        self._reached = reached
        self._headers = headers
        self._decode = decode
        self._first_token_timeout_s = first_token_timeout_s
        self._inter_token_timeout_s = inter_token_timeout_s
        self._on_malformed = on_malformed
        self._pace = pace
        self._owns_client = client is None
        self._client = client or new_client()

    @abstractmethod
    def body(self, request: ModelRequest) -> dict[str, Any]:
        """Return the request as the API wants it."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer the request; see `server.llm.port.Model`."""
        events = stream_events(
            self._client,
            self._url,
            headers=self._headers,
            body=self.body(request),
            decode=self._decode,
            request=request,
            on_malformed=lambda: self._on_malformed(self.name),
        )
        return within_deadlines(
            events,
            first_token_timeout_s=self._first_token_timeout_s,
            inter_token_timeout_s=self._inter_token_timeout_s,
            pace=self._pace,
        )

    async def check(self) -> None:
        """Ask what costs nothing; raises `UpstreamError` when the model cannot be had."""
        status = await check_reachable(
            self._client,
            self._check_url,
            headers=self._headers,
            timeout_s=self._first_token_timeout_s,
        )
        if status not in self._reached:
            raise error_from_status(status)

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owns_client:
            await self._client.aclose()
