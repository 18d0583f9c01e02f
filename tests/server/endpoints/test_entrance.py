"""What is looked at before any route: the host, the port, TLS; and who may read `/metrics`."""

import asyncio
import contextlib
import ssl

import httpx
import pytest
from credentials import certificate
from rest import API_KEYS, KEYS, http, refused
from rig import Rig, serving
from test_rest_access import MATRIX
from websockets.exceptions import InvalidStatus
from wire import open_client

from server.config.settings import Settings
from server.endpoints.entrance import Entrance
from server.endpoints.origins import host_and_port

METRICS_TOKEN = "a-token-for-prometheus"
PATHS = [path for _, path, _ in MATRIX] + ["/", "/health", "/ready", "/metrics", "/openapi.json"]


async def status(url, path, *hosts, version="1.1"):
    """The status of a request whose `Host` headers are exactly these."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    said = f"GET {path} HTTP/{version}\r\n{lines}Connection: close\r\n\r\n"
    writer.write(said.encode("latin-1"))
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


MALFORMED = (
    "evil.example/path", "evil.example@127.0.0.1", "127.0.0.1 evil", "127.0.0.1:x", "a..b/",
    "127.0.0.1:80:80", "http://127.0.0.1", "[::1", "", "-", "127.0.0.1,evil.example", "*", "%31",
    "127.0.0.1#", "127.0.0.1?x", "é.example",
)  # fmt: skip


async def test_s16_a_host_that_is_none_is_refused_on_every_path():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig) as url:
        for path in PATHS:
            for host in MALFORMED:
                assert await status(url, path, host) == 403, (path, host)
            assert await status(url, path) == 403
            assert await status(url, path, "127.0.0.1", "127.0.0.1") == 403


async def test_a_balancer_may_ask_without_a_host_as_http_1_0_does():
    async with Rig(api_keys=API_KEYS) as rig, serving(rig, hosts=("answers.example.com",)) as url:
        assert await status(url, "/ready", version="1.0") in (200, 503)
        assert await status(url, "/ready", "evil.example", version="1.0") == 403
        assert await status(url, "/v1/responses/x/events", version="1.0") == 401


async def test_s16_with_hosts_only_they_and_addresses_pass():
    async with (
        Rig(api_keys=API_KEYS) as rig,
        serving(rig, hosts=("answers.example.com", "my_service")) as url,
    ):
        good = ("answers.example.com", "Answers.Example.com:8080", "127.0.0.1:1", "[::1]:8080",
                "localhost", "10.1.2.3:8080", "my_service:80")  # fmt: skip
        bad = ("evil.example", "answers.example.com.evil", "xanswers.example.com", "example.com",
               "localhost.evil.example", "127.0.0.1.nip.example")  # fmt: skip
        for path in PATHS:
            for host in good:
                assert await status(url, path, host) != 403, (path, host)
            for host in bad:
                assert await status(url, path, host) == 403, (path, host)
        with pytest.raises(InvalidStatus) as caught:
            async with open_client(url, additional_headers={"Host": "answers.example.com"}):
                pass  # the second Host of this request: the client sends one of its own
        assert caught.value.response.status_code == 403


def test_hosts_are_read_as_they_are_written():
    assert host_and_port("Answers.example.com") == ("answers.example.com", 80)
    assert host_and_port("[::1]:8080") == ("::1", 8080)
    assert host_and_port("a_b:1") == ("a_b", 1)
    assert host_and_port("1.2.3.4", "https") == ("1.2.3.4", 443)


@pytest.mark.parametrize(
    ("keys", "token", "key", "allowed"),
    [
        ((), "", None, True),  # open to who reaches it, as everything is there
        ((), METRICS_TOKEN, None, False),
        ((), METRICS_TOKEN, METRICS_TOKEN, True),
        (API_KEYS, "", None, False),
        (API_KEYS, "", "no-key-of-anybody", False),
        (API_KEYS, "", KEYS["user"], False),
        (API_KEYS, "", KEYS["viewer"], True),
        (API_KEYS, "", KEYS["admin"], True),
        (API_KEYS, METRICS_TOKEN, None, False),
        (API_KEYS, METRICS_TOKEN, METRICS_TOKEN, True),
        (API_KEYS, METRICS_TOKEN, METRICS_TOKEN + "x", False),
        (API_KEYS, METRICS_TOKEN, KEYS["viewer"], True),
        (API_KEYS, METRICS_TOKEN, KEYS["user"], False),
    ],
)
async def test_s41_who_may_read_the_metrics(keys, token, key, allowed):
    async with (
        Rig(api_keys=keys) as rig,
        serving(rig, metrics_token=token) as url,
        http(url, key) as client,
    ):
        response = await client.get("/metrics")
        if allowed:
            assert response.status_code == 200
            assert "manicule_connections" in response.text
        else:
            assert "manicule" not in refused(response, "unauthorized")["message"]


@pytest.mark.parametrize("token", ["", METRICS_TOKEN])
async def test_s41_metrics_on_their_own_port_are_nowhere_else(token, free_port):
    async with (
        Rig(api_keys=API_KEYS) as rig,
        serving(rig, metrics_port=free_port, metrics_token=token) as url,
        http(url, KEYS["admin"]) as main,
        http(f"http://127.0.0.1:{free_port}", token or None) as own,
        http(f"http://127.0.0.1:{free_port}") as stranger,
    ):
        assert (await main.get("/metrics")).status_code == 404
        assert "manicule_connections" in (await own.get("/metrics")).text
        assert (await stranger.get("/metrics")).status_code == (401 if token else 200)
        for path in ("/", "/health", "/v1/responses/x/events", "/ws"):
            assert (await own.get(path)).status_code == 404
            assert (await main.get("/health")).status_code == 200


@pytest.fixture
def tls(tmp_path):
    """Settings of a certificate for localhost, and a client's context that trusts it."""
    cert, key = certificate("localhost")
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.create_default_context(cadata=cert.decode())
    files = {"tls_certificate": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    return files, context


async def test_s13_https_and_wss_with_a_certificate_of_ones_own(tls):
    files, context = tls
    async with Rig() as rig, serving(rig, **files) as url:
        secure = url.replace("http://127.0.0.1", "https://localhost")
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            for path in ("/", "/health", "/none"):
                response = await client.get(secure + path)
                assert response.headers["strict-transport-security"] == "max-age=31536000"
        async with open_client(secure, ssl=context, origin=secure) as client:
            await client.send("ping")
            await client.until("pong")
        async with httpx.AsyncClient(trust_env=False) as client:  # plain http is not spoken there
            with pytest.raises(httpx.TransportError):
                await client.get(f"{url}/health")


async def test_s13_without_tls_no_browser_is_told_to_demand_it():
    async with Rig() as rig, serving(rig) as url, http(url) as client:
        assert "strict-transport-security" not in (await client.get("/")).headers


async def test_f68_a_tls_handshake_that_does_not_come_is_closed(tls):
    files, _ = tls
    async with Rig() as rig, serving(rig, **files) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"\x16\x03\x01\x02")  # the first bytes of a hello
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) == b""
        writer.close()


@pytest.mark.parametrize(
    "given",
    [
        {"hosts": ("https://answers.example.com",)},
        {"hosts": ("*.example.com",)},
        {"tls_certificate": "cert.pem"},
        {"tls_key": "key.pem"},
        {"metrics_port": 8080},
        {"trusted_proxies": ("10.0.0.1/8",)},
        {"trusted_proxies": ("proxy",)},
    ],
)
def test_a_setting_that_guards_nothing_is_a_mistake(given):
    from server.config.checks import check_settings

    [problem] = check_settings(Settings(**given), str.upper)
    assert problem.startswith(("HOSTS", "TLS", "METRICS_PORT", "TRUSTED_PROXIES"))


@pytest.mark.parametrize(
    ("keys", "key", "shown"),
    [
        ((), None, True),
        (API_KEYS, None, False),
        (API_KEYS, KEYS["user"], False),
        (API_KEYS, KEYS["viewer"], True),
    ],
)
async def test_s42_what_a_dependency_said_is_for_viewers(keys, key, shown):
    async with Rig(api_keys=keys) as rig, serving(rig) as url, http(url, key) as client:
        body = (await client.get("/ready")).json()
        assert body["status"] == "ready"
        details = [one["detail"] for one in body["dependencies"].values()]
        assert details
        assert any(details) is shown


async def test_sockets_are_served_past_the_application():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(("app", scope["path"]))

    async def endpoint(websocket):
        seen.append(("socket", websocket.url.path))

    entrance = Entrance(app, metrics_app=app, metrics_port=9, sockets={"/ws": endpoint})
    headers = [(b"host", b"localhost")]
    for kind, path, port in (
        ("websocket", "/ws", 80),
        ("websocket", "/other", 80),
        ("http", "/ws", 80),
        ("websocket", "/ws", 9),
    ):
        scope = {"type": kind, "path": path, "headers": headers, "server": ("localhost", port)}
        await entrance(scope, None, None)
    assert seen == [("socket", "/ws"), ("app", "/other"), ("app", "/ws"), ("app", "/ws")]
