"""An endpoint as somebody else runs it: a real HTTP server that answers as the test says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from ports import hold_port

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()


@dataclass(frozen=True)
class Received:
    """One request: first line, headers with names in lower case, body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict:
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Whether one of its signatures is of this secret, worked out apart from the sender."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


class Receiver:
    """Takes requests on `port` (a free one, kept over `stop` and `start`).

    `answer` is called with each request and returns the raw answer, or an awaitable of it; with
    None the connection stays open and silent until the receiver stops.
    """

    def __init__(self) -> None:
        self.port = hold_port()
        self.requests: list[Received] = []
        self.answer = lambda request: b"HTTP/1.1 204 No Content\r\n\r\n"
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.requests]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Refuse connections; those that are open break."""
        if self._server is not None:
            self._server.close()
            for one in list(self._connections):
                one.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader, writer) -> None:
        self._connections.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Received(head[0], headers, body)
            self.requests.append(request)
            answer = self.answer(request)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer is None:
                await reader.read()  # until the other side goes away
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()


def status(code: int, *headers: str) -> bytes:
    """An answer with a status and without a body."""
    lines = [f"HTTP/1.1 {code} X", "content-length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode()
