"""The page's routes: what they serve, how it may be cached, and what they refuse."""

import gzip
import re
from urllib.parse import unquote

import httpx
import pytest
from starlette.applications import Starlette

from server.endpoints.pages import page_routes, read_page, security_headers


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "web" / "assets").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "web" / "SOURCES.json").write_text("{}")
    (tmp_path / "web" / "index.html").write_text("<!doctype html><title>page</title>")
    assets = tmp_path / "web" / "assets"
    (assets / "index-AbC123_x.js").write_text("let long = 1;\n" * 200)
    (assets / "color-scheme.js").write_text("let short = 1;")
    return tmp_path / "web"


@pytest.fixture
async def client(folder):
    app = Starlette(routes=page_routes(folder=folder))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
        client.headers["accept-encoding"] = "identity"
        yield client


async def test_serves_the_page_and_its_files(client):
    page = await client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    script = await client.get("/assets/index-AbC123_x.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = await client.get("/assets/color-scheme.js")
    assert plain.headers["cache-control"] == "no-cache"


async def test_answers_head_like_get_without_a_body(client):
    for path in ("/", "/assets/index-AbC123_x.js"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == got.headers


async def test_a_known_etag_needs_no_body(client):
    for path in ("/", "/assets/index-AbC123_x.js"):
        etag = (await client.get(path)).headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
        for condition in (etag, f'W/{etag}, "other"', "*"):
            again = await client.get(path, headers={"if-none-match": condition})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == etag
        assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


async def test_compresses_for_those_who_take_it(client):
    path = "/assets/index-AbC123_x.js"
    plain = await client.get(path)
    packed = await client.get(path, headers={"accept-encoding": "br, GZIP;q=0.5"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.content == plain.content
    refused = await client.get(path, headers={"accept-encoding": "gzip;q=0, br"})
    assert "content-encoding" not in refused.headers


async def test_every_answer_carries_the_security_headers(client):
    for path in ("/", "/assets/color-scheme.js", "/assets/missing.js"):
        headers = (await client.get(path)).headers
        policy = headers["content-security-policy"].split("; ")
        assert policy[:4] == [
            "default-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "style-src 'self' 'unsafe-inline'",
        ]
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"


def test_further_hosts_may_be_connected_to():
    policy = security_headers(["wss://answers.example.com"])["Content-Security-Policy"]
    assert "connect-src 'self' wss://answers.example.com;" in policy


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/..%2findex.html",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/..%5c..%5csecret.txt",
        "/assets//etc/passwd",
        "/assets/%00",
        "/assets/",
        "/assets/SOURCES.json",
        "/SOURCES.json",
    ],
)
async def test_nothing_else_is_served(folder, path):
    app = Starlette(routes=page_routes(folder=folder))
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    # Straight to the application: a client would tidy the path up.
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 404
    assert b"secret" not in b"".join(message.get("body", b"") for message in sent)


def test_a_page_that_is_not_built_is_an_error_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="npm run build"):
        read_page(tmp_path)


def test_compression_is_the_same_each_time(folder):
    first, second = read_page(folder), read_page(folder)
    assert first == second
    packed = first["assets/index-AbC123_x.js"].compressed
    assert packed is not None
    assert gzip.decompress(packed) == first["assets/index-AbC123_x.js"].body
