"""Before any route: for which host a request is meant, by which port it came, and by TLS or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from protocol.errors import EventError
from server.endpoints.errors import error_response
from server.endpoints.origins import cannot_be_rebound, host_and_port

SocketEndpoint = Callable[[WebSocket], Awaitable[None]]

HSTS: Final = "max-age=31536000"
"""A year. Sent over TLS only; a proxy that ends TLS says it for itself."""


class Entrance:
    """The application as the network sees it.

    A `Host` that is none, missing (but for HTTP/1.0) or doubled is refused on every path. With
    `hosts` set, names are compared with them too; addresses and localhost always pass, since no DNS
    answer makes them another server's name. Requests to `metrics_port` get `metrics_app`, and no
    other ones do.

    `sockets` are endpoints by path. They are called past the application: its layers of routing
    would stay on the stack of every open socket, 4 KiB each.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str] = (),
        *,
        metrics_app: ASGIApp | None = None,
        metrics_port: int | None = None,
        sockets: Mapping[str, SocketEndpoint] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._metrics_app = metrics_app
        self._metrics_port = metrics_port
        self._sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        try:
            said = Headers(scope=scope).getlist("host")
            if said or scope.get("http_version") != "1.0":  # balancers ask so; browsers never do
                self._check_host(said)
        except EventError as error:
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(error_response(error))
            else:
                await error_response(error)(scope, receive, send)
            return
        if scope.get("scheme") in ("https", "wss"):
            send = _with_hsts(send)
        port = scope["server"][1] if scope.get("server") else None
        to_metrics = self._metrics_app is not None and port == self._metrics_port
        if scope["type"] == "websocket" and not to_metrics and scope["path"] in self._sockets:
            await self._sockets[scope["path"]](WebSocket(scope, receive, send))
            return
        app = self._metrics_app if self._metrics_app is not None and to_metrics else self._app
        await app(scope, receive, send)

    def _check_host(self, said: list[str]) -> None:
        found = host_and_port(said[0]) if len(said) == 1 else None
        if found is None:
            raise EventError("forbidden", "Send one Host header that is a host", param="host")
        if self._hosts and found[0] not in self._hosts and not cannot_be_rebound(found[0]):
            raise EventError("forbidden", "Not a host of this server; the operator can add it")


def _with_hsts(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Strict-Transport-Security"] = HSTS
        await send(message)

    return sending
