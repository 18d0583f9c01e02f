"""A client of the socket: connect, search, ask, cancel.

    async with connect("ws://127.0.0.1:8080/ws") as client:
        async for event in client.ask("How do I reset it?", product_id="td-17"):
            ...

Events are plain dictionaries as PROTOCOL describes them, so that a newer server's additions pass
through. `ask` ends after the terminal event.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

Event = dict[str, Any]

SUBPROTOCOL: Final = "manicule.v1"
OPEN_TIMEOUT_S: Final = 10.0
MAX_FRAME_BYTES: Final = 8 * 2**20
"""The largest event is a final response, some hundred kilobytes; more is not this protocol."""
_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}
TERMINAL: Final = (
    "response.completed", "response.incomplete", "response.failed", "response.cancelled"
)  # fmt: skip


class CannotConnectError(Exception):
    """There is no server there, or it is not one of ours. The message says what to do."""


class RefusedError(Exception):
    """The server answered with an `error` event; `facts` are its code, message and so on."""

    def __init__(self, facts: Event) -> None:
        super().__init__(f"{facts.get('code', 'error')}: {facts.get('message', '')}")
        self.facts = facts


class LostError(Exception):
    """The connection ended before the answer did."""


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncIterator[Client]:
    """Open a socket and wait for the session. Raises `CannotConnectError` or `LostError`.

    The page's address does too: `http://host:port` is read as `ws://host:port/ws`.
    """
    try:
        url, host = _socket_address(url)
        socket = await open_socket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=1,
            max_size=MAX_FRAME_BYTES,
            compression=None,
            proxy=None if _is_loopback(host) else True,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        busy = status in (429, 503)
        remedy = "It is full or about to stop; try again." if busy else "Check the address."
        raise CannotConnectError(
            f"Cannot connect to {url}: it answered {status}. {remedy}"
        ) from error
    except (ImportError, OSError, TimeoutError, WebSocketException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CannotConnectError(
            f"Cannot connect to {url}: {reason}. Is the server running? Start it with: "
            "manicule serve"
        ) from error
    async with socket:
        client = Client(socket)
        await client.open()
        yield client


class Client:
    """One open socket. One question or search at a time."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.session: Event = {}
        self.response_id: str | None = None

    async def open(self) -> None:
        """Wait for the session's facts, which the server sends first."""
        event = await self._receive()
        if event["type"] != "session.created":
            raise CannotConnectError("The server does not speak manicule.v1. Check the address.")
        self.session = event.get("session", {})

    async def search(self, query: str, limit: int = 8) -> list[Event]:
        """Return products that match, best first: `id, name, brand, category, score, manual`."""
        event_id = await self._send("catalog.search", query=query, limit=limit)
        async for event in self._answers_to(event_id):
            if event["type"] == "catalog.results":
                return list(event.get("products", []))
        raise LostError("The server ended the connection.")

    async def ask(
        self, question: str, product_id: str, **options: str | None
    ) -> AsyncIterator[Event]:
        """Ask, and yield every event of the answer, the terminal one last.

        `options` are further fields of `response.create`, such as `scenario` and `language`; those
        that are None are left out. Raises `RefusedError` and `LostError`.
        """
        given = {name: value for name, value in options.items() if value is not None}
        event_id = await self._send(
            "response.create", input=question, product_id=product_id, **given
        )
        async for event in self._answers_to(event_id):
            if event["type"] == "response.created":
                self.response_id = event.get("response_id")
            if event["type"].startswith("response."):
                yield event
            if event["type"] in TERMINAL:
                self.response_id = None
                return

    async def cancel(self) -> None:
        """Ask the server to stop the answer that is running; its terminal event still comes."""
        if self.response_id is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._send("response.cancel", response_id=self.response_id)

    async def _send(self, kind: str, **fields: object) -> str:
        event_id = str(uuid4())
        try:
            await self._socket.send(json.dumps({"type": kind, "event_id": event_id, **fields}))
        except ConnectionClosed as error:
            raise LostError(_lost(error)) from error
        return event_id

    async def _answers_to(self, event_id: str) -> AsyncIterator[Event]:
        """Yield events until the caller has enough; an error about this request is raised."""
        while True:
            event = await self._receive()
            if event["type"] == "error":
                facts = event.get("error", {})
                if facts.get("event_id", event_id) == event_id:
                    raise RefusedError(facts)
            yield event

    async def _receive(self) -> Event:
        try:
            event = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise LostError(_lost(error)) from error
        except ValueError as error:
            raise LostError("The server sent what is not JSON. Check the address.") from error
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise LostError("The server sent what is no event. Check the address.")
        return event


def _socket_address(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    parts = parts._replace(
        scheme=_SOCKET_SCHEMES.get(parts.scheme, parts.scheme),
        path="/ws" if parts.path in ("", "/") else parts.path,
    )
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise CannotConnectError(f"{url}: not a socket's address. Write ws://host:port/ws.")
    return parts.geturl(), parts.hostname


def _lost(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "The connection was lost. Ask again."
    reason = error.rcvd.reason or "no reason given"
    return f"The server closed the connection ({error.rcvd.code}: {reason}). Ask again."


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
