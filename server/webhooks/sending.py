"""One delivery: a signed POST to an address that was checked, with an end to everything."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

import httpcore
import httpx

from server.outbound.addresses import AddressError, check_url
from server.outbound.transport import CheckedTransport, Resolver, resolve, url_of
from server.webhooks.endpoints import Endpoint
from server.webhooks.signing import sign

TIMEOUT_S: Final = 10.0
"""For one delivery in all. A receiver should note it, answer, and work afterwards."""

MAX_RETRY_AFTER_S: Final = 3600
"""A receiver may ask for so much patience at most."""

GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a delivery: the status if there was one, else why not.

    `retry_after_s` is what the receiver asked for.
    """

    status: int | None = None
    problem: str = ""
    retry_after_s: int = 0

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it never wants this again."""
        return self.status == GONE

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status is not None else self.problem


class Sender:
    """Sends to endpoints; redirects are not followed and answers are not read.

    `resolver` and `ssl_context` replace the system's. `allow_private` opens loopback and private
    networks, `allow_http` plain http.
    """

    def __init__(
        self,
        *,
        allow_http: bool,
        allow_private: bool,
        timeout_s: float = TIMEOUT_S,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_http = allow_http
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._transport = CheckedTransport(
            allow_private=allow_private,
            resolver=resolver,
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
        )

    async def send(
        self, endpoint: Endpoint, message_id: str, body: bytes, *, now_s: float
    ) -> Reply:
        """Deliver `body` once; never raises. `now_s` is Unix time, which the signature holds.

        What it says of a failure are words of ours: no address, no body of the other side.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(endpoint, message_id, body, int(now_s))
        except TimeoutError:
            return Reply(problem=f"no answer in {self._timeout_s:g} s")
        except AddressError as error:
            return Reply(problem=f"the address {error}")
        except httpcore.ConnectError as error:
            return Reply(problem=f"no connection: {error}")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return Reply(problem=f"the connection broke: {type(error).__name__}")

    async def aclose(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def _post(
        self, endpoint: Endpoint, message_id: str, body: bytes, timestamp_s: int
    ) -> Reply:
        target = check_url(
            endpoint.url, allow_http=self._allow_http, allow_private=self._allow_private
        )
        headers = {
            "User-Agent": "manicule",
            "Content-Type": "application/json",
            "Connection": "close",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(endpoint.keys, message_id, timestamp_s, body),
        }
        request = httpx.Request("POST", url_of(target), headers=headers, content=body)
        response = await self._transport.handle_async_request(request)
        try:
            after = response.headers.get("retry-after", "")
            asked = int(after) if after.isascii() and after.isdigit() and len(after) < 9 else 0
            return Reply(response.status_code, retry_after_s=min(asked, MAX_RETRY_AFTER_S))
        finally:
            await response.aclose()
