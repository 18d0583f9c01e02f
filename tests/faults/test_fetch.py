"""Fetching against servers and names that mean harm, over real sockets on loopback."""

import asyncio
import contextlib
import datetime
import os
import resource
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.manuals.documents import ManualError
from server.manuals.fetch import Fetched, Fetcher, NotModified, read_file
from server.outbound import transport
from server.outbound.addresses import check_url

PDF = b"%PDF-1.4 the manual"
OK = b"HTTP/1.1 200 OK\r\n"


def answer(body=PDF, *headers, status=OK):
    lines = b"".join(line + b"\r\n" for line in (b"Content-Length: %d" % len(body), *headers))
    return status + lines + b"\r\n" + body


class Site:
    """A server that counts connections, keeps requests and says what `say` gives."""

    def __init__(self, say=None):
        self.hits = 0
        self.handlers = []
        self.requests = []
        self.names = []
        self.say = say or (lambda path: answer())

    async def serve(self, reader, writer):
        self.hits += 1
        self.handlers.append(asyncio.current_task())
        with (
            contextlib.closing(writer),
            contextlib.suppress(OSError, asyncio.IncompleteReadError),
        ):
            request = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            self.requests.append(request)
            said = self.say(request.split(" ")[1])
            if isinstance(said, bytes):
                writer.write(said)
            else:
                async for part in said:
                    writer.write(part)
                    await writer.drain()
            await writer.drain()


@contextlib.asynccontextmanager
async def running(site, **options):
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, **options)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for handler in site.handlers:
            handler.cancel()
        await asyncio.gather(*site.handlers, return_exceptions=True)


@contextlib.asynccontextmanager
async def fetching(**options):
    known = {"allow_http": True, "allow_private": True, "timeout_s": 10, "max_bytes": 2**20}
    fetcher = Fetcher(**(known | options))
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def problem_of(fetcher, url):
    with pytest.raises(ManualError) as caught:
        await fetcher.fetch(url)
    return caught.value.problem


async def test_a_manual_arrives_with_its_facts():
    site = Site(lambda path: answer(PDF, b'ETag: "v1"', b"Content-Type: application/pdf"))
    seen = []
    async with running(site), fetching() as fetcher:
        url = f"http://localhost:{site.port}/a.pdf"
        got = await fetcher.fetch(url, on_bytes=lambda done, total: seen.append((done, total)))
    assert got == Fetched(PDF, "application/pdf", '"v1"', url)
    assert seen[-1] == (len(PDF), len(PDF))
    assert "accept-encoding: identity" in site.requests[0].lower()


async def test_an_etag_that_holds_is_not_modified():
    site = Site(lambda path: b"HTTP/1.1 304 Not Modified\r\n\r\n")
    async with running(site), fetching() as fetcher:
        url = f"http://127.0.0.1:{site.port}/"
        assert await fetcher.fetch(url, etag='"v1"') == NotModified()
        assert 'if-none-match: "v1"' in site.requests[0].lower()
        assert await problem_of(fetcher, url) == "unreachable"


@pytest.mark.parametrize(
    ("status", "problem"),
    [(404, "not_found"), (410, "not_found"), (403, "unreachable"), (503, "unreachable")],
)
async def test_a_status_says_what_failed(status, problem):
    site = Site(lambda path: answer(b"", status=b"HTTP/1.1 %d No\r\n" % status))
    async with running(site), fetching() as fetcher:
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == problem


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "100.64.0.1"),
        *("[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::7f00:1]"),
        *("[fec0::1]", "224.0.0.1", "0x7f000001", "2130706433", "127.1", "１２７.0.0.1"),
        *("user@127.0.0.1", "vendor.example\\@127.0.0.1", "localhost"),
    ],
)
async def test_f90_no_packet_reaches_a_forbidden_address(host, monkeypatch):
    canary = Site()
    async with running(canary), fetching(allow_private=False) as fetcher:
        # The port rule would refuse first: let the canary's port pass so that the address decides.
        monkeypatch.setattr("server.manuals.fetch.check_url", _with_any_port(canary.port))
        assert await problem_of(fetcher, f"http://{host}:{canary.port}/") == "forbidden_address"
    assert canary.hits == 0


def _with_any_port(port):
    def check(url, *, allow_http, allow_private):
        check_url(url.replace(f":{port}", ""), allow_http=allow_http, allow_private=False)
        return check_url(url, allow_http=allow_http, allow_private=True)

    return check


def resolver(*answers):
    rest = list(answers)

    async def resolve(host, port):
        return rest.pop(0)

    resolve.rest = rest
    return resolve


async def test_f91_the_address_that_was_checked_is_the_one_connected_to():
    site = Site()
    resolve = resolver(["127.0.0.1"], ["169.254.169.254"])
    async with running(site), fetching(resolve=resolve) as fetcher:
        await fetcher.fetch(f"http://vendor.example:{site.port}/")
        assert len(resolve.rest) == 1  # resolved once for the connection
        assert await problem_of(fetcher, f"http://vendor.example:{site.port}/") == (
            "forbidden_address"
        )
    assert site.hits == 1
    assert f"Host: vendor.example:{site.port}" in site.requests[0]


@pytest.mark.parametrize(
    "answers", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "::ffff:10.0.0.1"]]
)
async def test_f91_one_bad_address_refuses_all(answers, monkeypatch):
    tried = []

    async def connect(self, host, *rest, **options):
        tried.append(host)
        raise transport.httpcore.ConnectError("not here")

    monkeypatch.setattr(transport.httpcore.AnyIOBackend, "connect_tcp", connect)
    async with fetching(allow_private=False, resolve=resolver(answers, ["8.8.8.8"])) as fetcher:
        assert await problem_of(fetcher, "https://vendor.example/") == "forbidden_address"
        assert tried == []
        assert await problem_of(fetcher, "https://vendor.example/") == "unreachable"
    assert tried == ["8.8.8.8"]


def certificate(folder, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "site.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_f91_tls_names_and_checks_the_host_not_the_address(tmp_path):
    path = certificate(tmp_path, "vendor.example")
    site = Site()
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(path)
    offered.sni_callback = lambda tls, name, context: site.names.append(name)
    trusted = ssl.create_default_context(cafile=path)

    async def resolve(host, port):
        return ["127.0.0.1"]

    async with (
        running(site, ssl=offered),
        fetching(resolve=resolve, ssl_context=trusted, allow_http=False) as fetcher,
    ):
        got = await fetcher.fetch(f"https://vendor.example:{site.port}/")
        assert got.data == PDF
        url = f"https://other.example:{site.port}/"
        assert await problem_of(fetcher, url) == "unreachable"
    assert site.names == ["vendor.example", "other.example"]
    assert len(site.requests) == 1


def moved(location):
    head = b"Location: " + location.encode() + b"\r\nSet-Cookie: a=secret"
    return answer(b"", head, status=b"HTTP/1.1 302 Found\r\n")


@pytest.mark.parametrize(
    "location",
    [
        *("http://10.0.0.1.nip.example\\@a/", "file:///etc/passwd", "ftp://a.example/"),
        *("http://169.254.169.254/latest/meta-data", "//169.254.169.254/", "gopher://a/"),
        *("http://user:pass@a.example/", "javascript:alert(1)", "http://2130706433/", ""),
    ],
)
async def test_f92_every_redirect_is_checked(location):
    site = Site(lambda path: moved(location))
    async with running(site), fetching() as fetcher:
        problem = await problem_of(fetcher, f"http://127.0.0.1:{site.port}/")
    assert problem == "forbidden_address"
    assert site.hits == 1


async def test_f92_three_redirects_are_followed_and_a_fourth_is_not():
    def say(path):
        left = int(path.strip("/"))
        return moved(f"/{left - 1}") if left else answer()

    site = Site(say)
    async with running(site), fetching() as fetcher:
        got = await fetcher.fetch(f"http://127.0.0.1:{site.port}/3")
        assert got.url.endswith("/0")
        site.hits = 0
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/20") == "unreachable"
    assert site.hits == 4
    assert not any("cookie" in request.lower() for request in site.requests)


async def test_f92_nothing_of_the_first_host_goes_to_the_second(monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("default login me password secret")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    second = Site()
    async with running(second), fetching() as fetcher:
        first = Site(lambda path: moved(f"http://localhost:{second.port}/b"))
        async with running(first):
            await fetcher.fetch(f"http://127.0.0.1:{first.port}/a")
    lines = second.requests[0].lower()
    assert f"host: localhost:{second.port}" in lines
    assert not any(word in lines for word in ("authorization", "cookie", "referer", "secret"))


async def test_f92_https_is_never_left_for_http(tmp_path):
    path = certificate(tmp_path, "localhost")
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(path)
    canary = Site()
    site = Site(lambda path: moved(f"http://localhost:{canary.port}/"))
    trusted = ssl.create_default_context(cafile=path)
    async with (
        running(canary),
        running(site, ssl=offered),
        fetching(ssl_context=trusted) as fetcher,
    ):
        problem = await problem_of(fetcher, f"https://localhost:{site.port}/")
    assert problem == "forbidden_address"
    assert canary.hits == 0


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd", b"deflate", b"gzip, identity"])
async def test_f93_compressed_bodies_are_refused(encoding):
    site = Site(lambda path: answer(b"\x1f\x8b" * 100, b"Content-Encoding: " + encoding))
    async with running(site), fetching() as fetcher:
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == "wrong_type"


async def endless():
    yield OK + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


async def test_f93_an_endless_body_ends_at_the_limit_and_costs_little_memory():
    site = Site(lambda path: endless())
    async with running(site), fetching(max_bytes=50 * 2**20) as fetcher:
        await problem_of(fetcher, f"http://127.0.0.1:{site.port}/")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == "too_large"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib <= 16 * 1024


async def test_f93_a_length_beyond_the_limit_is_refused_unread():
    site = Site(lambda path: OK + b"Content-Length: 99999999\r\n\r\n")
    async with running(site), fetching() as fetcher:
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == "too_large"


async def test_f93_a_body_shorter_than_its_length_is_refused():
    site = Site(lambda path: OK + b"Content-Length: 1000\r\n\r\n" + PDF)
    async with running(site), fetching() as fetcher:
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == "unreachable"


async def drip():
    yield OK + b"Content-Length: 1000\r\n\r\n"
    while True:
        yield b"x"
        await asyncio.sleep(0.05)


async def test_f93_a_slow_drip_meets_the_deadline():
    site = Site(lambda path: drip())
    async with running(site), fetching(timeout_s=0.4) as fetcher:
        assert await problem_of(fetcher, f"http://127.0.0.1:{site.port}/") == "timeout"


async def test_a_body_beyond_memory_arrives_whole():
    body = bytes(range(256)) * 40_000
    site = Site(lambda path: answer(body))
    async with running(site), fetching(max_bytes=2**24) as fetcher:
        got = await fetcher.fetch(f"http://127.0.0.1:{site.port}/")
    assert got.data == body


async def test_local_files_are_read_or_refused(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(PDF)
    first = await read_file(path, max_bytes=100)
    assert first.data == PDF
    path.write_bytes(PDF + b"2")
    assert (await read_file(path, max_bytes=100)).etag != first.etag
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for wrong, problem in (
        (tmp_path / "b", "not_found"),
        (tmp_path, "not_found"),
        (fifo, "not_found"),
    ):
        with pytest.raises(ManualError) as caught:
            await read_file(wrong, max_bytes=100)
        assert caught.value.problem == problem
    with pytest.raises(ManualError) as caught:
        await read_file(path, max_bytes=10)
    assert caught.value.problem == "too_large"
