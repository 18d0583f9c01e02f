"""The web page: the built files of `server/web`, read once and served with strict headers."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

BUILT_FOLDER = Path(__file__).parent.parent / "web"
INDEX = "index.html"
ASSETS = "assets"

# The build puts eight characters of the content's hash into a name, so such a file never changes.
_HASHED_NAME = re.compile(r".+-[A-Za-z0-9_-]{8}\.[a-z0-9]+")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
# Below this a compressed file is hardly smaller.
_SMALLEST_COMPRESSED_BYTES = 1024
_COMPRESSED_KINDS = ("text/", "image/svg", "application/json")

# Not left to the system's table, which differs between machines.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One built file: its bytes, plain and compressed (None when not worth it), and its facts."""

    body: bytes
    compressed: bytes | None
    media_type: str
    etag: str
    cache_control: str


def page_routes(*, connect_hosts: Sequence[str] = (), folder: Path = BUILT_FOLDER) -> list[Route]:
    """Routes for `/` and `/assets/<name>`, GET and HEAD.

    `connect_hosts` are further sources that the page may connect to, such as
    `wss://answers.example.com`; its own host always is one. All files are read here, so a request
    only looks a name up and can reach nothing else on the disk. Raises FileNotFoundError when the
    page has not been built.
    """
    files = read_page(folder)
    headers = security_headers(connect_hosts)

    # A plain function would be run in a thread, whose machinery is loaded at the first request.
    async def index(request: Request) -> Response:
        return _answer(request, files[INDEX], headers)

    async def asset(request: Request) -> Response:
        found = files.get(f"{ASSETS}/{request.path_params['name']}")
        if found is None:
            return PlainTextResponse("Not found\n", status_code=404, headers=headers)
        return _answer(request, found, headers)

    return [
        Route("/", index, methods=["GET"], name="page"),
        Route("/assets/{name}", asset, methods=["GET"], name="asset"),
    ]


def security_headers(connect_hosts: Sequence[str] = ()) -> dict[str, str]:
    """The headers of every answer of the page. Styles may be inline, as the widgets need it."""
    policy = (
        "default-src 'self'",
        "img-src 'self' data:",
        " ".join(("connect-src 'self'", *connect_hosts)),
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def read_page(folder: Path) -> dict[str, PageFile]:
    """Read `index.html` and what is in `assets`, by their names below `folder`."""
    index = folder / INDEX
    if not index.is_file():
        raise FileNotFoundError(f"{index} is missing: run `npm ci && npm run build` in web/")
    paths = [index, *sorted(path for path in (folder / ASSETS).iterdir() if path.is_file())]
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    media_type = (
        _MEDIA_TYPES.get(path.suffix)
        or mimetypes.guess_type(path.name)[0]
        or "application/octet-stream"
    )
    hashed = path.parent.name == ASSETS and _HASHED_NAME.fullmatch(path.name)
    compress = len(body) >= _SMALLEST_COMPRESSED_BYTES and media_type.startswith(_COMPRESSED_KINDS)
    return PageFile(
        body=body,
        compressed=gzip.compress(body, mtime=0) if compress else None,
        media_type=media_type,
        etag=hashlib.sha256(body).hexdigest()[:32],
        cache_control=_IMMUTABLE if hashed else _REVALIDATE,
    )


def _answer(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    compressed = file.compressed if _takes_gzip(request) else None
    # Two forms of one file are two representations, so they need two tags.
    etag = f'"{file.etag}{"-gzip" if compressed is not None else ""}"'
    facts = {**headers, "ETag": etag, "Cache-Control": file.cache_control}
    if file.compressed is not None:
        facts["Vary"] = "Accept-Encoding"
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=facts)
    if compressed is not None:
        facts["Content-Encoding"] = "gzip"
    body = file.body if compressed is None else compressed
    return Response(body, headers=facts, media_type=file.media_type)


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        coding, _, quality = part.partition(";")
        if coding.strip().lower() == "gzip":
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _matches(if_none_match: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
