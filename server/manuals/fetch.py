"""Fetches a manual: over the web with every address checked, or from a local file."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import httpcore
import httpx

from server.manuals.documents import ManualError
from server.manuals.spool import Spool
from server.outbound.addresses import AddressError, Target, check_url
from server.outbound.transport import CheckedTransport, Resolver, resolve, url_of

MAX_REDIRECTS: Final = 3
MAX_ETAG_CHARS: Final = 256
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "User-Agent": "manicule",
    "Accept": "application/pdf, text/html, text/markdown, text/plain;q=0.9, */*;q=0.5",
    # A compressed body would have to be unpacked here, where a bomb meets no limit of a child.
    "Accept-Encoding": "identity",
    "Connection": "close",
}

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes so far and the whole length if the server named one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manual's bytes; `url` is where they came from after redirects, `etag` "" if none."""

    data: bytes
    content_type: str
    etag: str
    url: str


@dataclass(frozen=True, slots=True)
class NotModified:
    """The source still has what the ETag named."""


class Fetcher:
    """Fetches manuals over https (and http by option), each redirect and address checked.

    `timeout_s` is for one fetch in all, `max_bytes` counts the body as it comes over the wire.
    `allow_private` opens loopback, private networks and all ports, and nothing else.
    `ssl_context` replaces the public certificate authorities.
    """

    def __init__(
        self,
        *,
        allow_http: bool,
        allow_private: bool,
        timeout_s: float,
        max_bytes: int,
        resolve: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_http = allow_http
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._transport: CheckedTransport | None = None

    async def fetch(
        self, url: str, *, etag: str = "", on_bytes: OnBytes | None = None
    ) -> Fetched | NotModified:
        """Return the manual at `url`, or `NotModified` when `etag` still holds.

        Raises `ManualError`: forbidden_address, not_found, unreachable, timeout, too_large or
        wrong_type (a compressed body).
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, etag, on_bytes)
        except TimeoutError:
            raise ManualError(
                "timeout", f"The manual did not arrive within {self._timeout_s:g} s: ask again."
            ) from None
        except AddressError as error:
            raise ManualError(
                "forbidden_address", f"The manual's address {error}: correct it in the catalog."
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise ManualError(
                "unreachable", "The manual's server cannot be reached or broke off: ask again soon."
            ) from error

    async def aclose(self) -> None:
        """Close what is open."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _follow(self, url: str, etag: str, on_bytes: OnBytes | None) -> Fetched | NotModified:
        target = self._check(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(target, etag)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._read(response, etag, on_bytes)
                target = self._redirected(target, response)
            finally:
                await response.aclose()
        raise ManualError(
            "unreachable",
            f"The manual's address redirects more than {MAX_REDIRECTS} times: name its last one.",
        )

    def _check(self, url: str) -> Target:
        return check_url(url, allow_http=self._allow_http, allow_private=self._allow_private)

    def _redirected(self, target: Target, response: httpx.Response) -> Target:
        location = response.headers.get("location", "")
        try:
            joined = str(httpx.URL(target.url).join(location)) if location else ""
        except httpx.InvalidURL:
            joined = ""
        # The text as the server sent it is checked too: joining would tidy what must be refused.
        if "://" in location or location.startswith("//"):
            self._check(location if "://" in location else f"{target.scheme}:{location}")
        following = self._check(joined)
        if target.scheme == "https" and following.scheme != "https":
            raise ManualError(
                "forbidden_address",
                "The manual's server redirects from https to http: name an https address.",
            )
        return following

    async def _get(self, target: Target, etag: str) -> httpx.Response:
        """Send one request with headers of its own; nothing is carried over a redirect."""
        headers = _HEADERS | ({"If-None-Match": etag} if _is_etag(etag) else {})
        request = httpx.Request("GET", url_of(target), headers=headers)
        return await self._opened().handle_async_request(request)

    def _opened(self) -> CheckedTransport:
        # The certificates take 20 ms to load, which a server with local manuals never needs.
        if self._transport is None:
            context = self._ssl_context or httpx.create_ssl_context(trust_env=False)
            self._transport = CheckedTransport(
                allow_private=self._allow_private,
                resolver=self._resolve or resolve,
                ssl_context=context,
            )
        return self._transport

    async def _read(
        self, response: httpx.Response, etag: str, on_bytes: OnBytes | None
    ) -> Fetched | NotModified:
        if response.status_code == 304 and _is_etag(etag):
            return NotModified()
        if response.status_code != 200:
            _refuse_status(response.status_code)
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise ManualError(
                "wrong_type", "The manual's server sends it compressed: it must send it as it is."
            )
        data = await self._body(response, on_bytes)
        answered = response.headers.get("etag", "")
        return Fetched(
            data=data,
            content_type=response.headers.get("content-type", ""),
            etag=answered if _is_etag(answered) else "",
            url=str(response.request.url),
        )

    async def _body(self, response: httpx.Response, on_bytes: OnBytes | None) -> bytes:
        named = response.headers.get("content-length", "")
        total = int(named) if named.isascii() and named.isdigit() else None
        if total is not None and total > self._max_bytes:
            raise self._too_large()
        with Spool() as spool:
            async for part in response.aiter_raw():
                if spool.size + len(part) > self._max_bytes:
                    raise self._too_large()
                await spool.add(part)
                if on_bytes is not None:
                    on_bytes(spool.size, total)
            return await spool.joined()

    def _too_large(self) -> ManualError:
        return ManualError(
            "too_large",
            f"The manual is larger than {self._max_bytes / 2**20:.4g} MiB: give a smaller file or "
            "raise the limit (max_manual_bytes).",
        )


def _is_etag(text: str) -> bool:
    return 0 < len(text) <= MAX_ETAG_CHARS and text.isascii() and text.isprintable()


def _refuse_status(status: int) -> NoReturn:
    if status in (404, 410):
        raise ManualError(
            "not_found", f"The manual is not at its address (HTTP {status}): correct the catalog."
        )
    if status in (401, 403):
        raise ManualError(
            "unreachable", f"The manual's server refuses access (HTTP {status}): use another."
        )
    raise ManualError("unreachable", f"The manual's server answered HTTP {status}: try later.")


async def read_file(path: Path, *, max_bytes: int) -> Fetched:
    """Return a local manual; its etag changes with the file's size and time.

    Raises `ManualError`: not_found (also when it may not be read or is no plain file), too_large.
    """
    return await asyncio.to_thread(_read_file, path, max_bytes)


def _read_file(path: Path, max_bytes: int) -> Fetched:
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ManualError("not_found", f"{path.name} is not a plain file.")
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ManualError(
            "not_found",
            f"The manual's file {path.name} cannot be read: correct its path or rights.",
        ) from error
    if len(data) > max_bytes:
        raise ManualError(
            "too_large",
            f"{path.name} is larger than {max_bytes / 2**20:.4g} MiB: give a smaller file or raise "
            "the limit (max_manual_bytes).",
        )
    etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    return Fetched(data, "", etag, path.absolute().as_uri())
