"""Secrets are in nothing that a running server writes, shows or says."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from credentials import token
from rest import http
from websockets.exceptions import InvalidStatus
from wire import open_client

CANARY = "canary-5b1d9e-"
KEY = CANARY + "viewer-key-000"
SECRETS = {
    "secret_key": CANARY + "receipts-0000000",
    "jwt_secret": CANARY + "tokens-00000000000000000000000",
    "api_keys": f"viewer:acme:{KEY}",
    "metrics_token": CANARY + "metrics",
    "gemini_api_key": CANARY + "gemini",
    "openai_api_key": CANARY + "openai",
}
QUIET = ("/", "/health", "/ready", "/metrics", "/openapi.json", "/asyncapi.json", "/none", "/ws")


@pytest.fixture(scope="module")
def target(server, tmp_path_factory):
    """A server whose secrets come from files, as container platforms mount them."""
    folder = tmp_path_factory.mktemp("secrets")
    given = {}
    for name, secret in SECRETS.items():
        (folder / name).write_text(secret + "\n")
        given["api_keys_file" if name == "api_keys" else f"{name}_file"] = str(folder / name)
    return server(
        None, "--model", "gemini:gemini-2.5-flash,openai:gpt-4.1-mini,extractive",
        gemini_base_url="http://127.0.0.1:9", openai_base_url="http://127.0.0.1:9",
        log_level="debug", log_format="json", **given,
    )  # fmt: skip


async def exercise(target) -> tuple[list[str], list[str]]:
    """Everything that could betray a secret: what was said to the clients, and the tickets."""
    said, tickets = [], []
    bad = token({"sub": "eve", "exp": 9e9}, secret=CANARY + "x" * 32)
    async with http(target.url, KEY) as client, http(target.url) as stranger:
        for path in QUIET:
            for one in (client, stranger):
                said.append((await one.get(path)).text)
        for key in (bad, KEY + "x", "Bearer", SECRETS["secret_key"]):
            headers = {"authorization": f"Bearer {key}"}
            for path in ("/metrics", "/v1/responses/x/events"):
                said.append((await stranger.get(path, headers=headers)).text)
        said.append((await client.post("/v1/responses", content=b"{" + KEY.encode())).text)
        said.append((await client.get("/v1/responses/x/events", params={"token": KEY})).text)
        for _ in range(2):
            tickets.append((await client.post("/v1/tickets")).json()["ticket"])
        question = {"product_id": target.product_id, "input": "How do I change the battery?"}
        said.append((await client.post("/v1/responses", json=question)).text)
    for address in (f"/ws?ticket={tickets[0]}", f"/ws?ticket={tickets[0]}", f"/ws?token={KEY}"):
        with suppress(InvalidStatus):
            url = target.url.replace("http", "ws", 1) + address
            async with open_client(target.url, address=url) as client:
                await client.send("ping")
                said.append(json.dumps(await client.until("pong")))
    for key in (tickets[1], tickets[1], bad):
        async with open_client(target.url) as client:
            await client.send("session.update", token=key)
            said.append(json.dumps(await client.next()))
    return said, tickets


def test_s43_no_secret_is_said_logged_or_shown(target):
    said, tickets = asyncio.run(exercise(target))
    data = target.folder / "data"
    files = [path for path in data.rglob("*") if path.is_file() and path.name != "secret.key"]
    kept = b"".join(path.read_bytes() for path in files)
    log = target.log()
    assert "query_completed" in log
    assert '"denied"' in kept.decode(errors="replace")
    process = Path("/proc") / str(target.process.pid)
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    everything = "\n".join(said) + log + (kept + shown).decode(errors="replace")
    assert CANARY not in everything
    for ticket in tickets:
        _, body, signature = ticket.split(".")
        assert body not in everything
        assert signature not in everything
    scraped = httpx.get(
        f"{target.url}/metrics", trust_env=False,
        headers={"authorization": f"Bearer {SECRETS['metrics_token']}"},
    ).text  # fmt: skip
    assert "manicule_connections" in scraped
    assert CANARY not in scraped
    assert not any(ticket.split(".")[1] in scraped for ticket in tickets)


def test_s40_every_line_of_the_log_is_one_object_and_names_nobody(target):
    lines = target.log_lines()
    assert lines
    assert not re.search(r"\beve\b|127\.0\.0\.1:\d{5}", json.dumps(lines))


def test_s43_what_holds_secrets_does_not_show_them():
    from server.config.settings import Settings
    from server.endpoints.api_keys import parse_keys
    from server.endpoints.principals import KeyRing
    from server.endpoints.tickets import Tickets
    from server.endpoints.tokens import TokenReader
    from server.storage.once import MemoryOnce

    settings = Settings(**(SECRETS | {"api_keys": (SECRETS["api_keys"],)}))
    held = [
        settings, settings.redacted(), parse_keys([f"viewer:{KEY}"]),
        KeyRing([f"viewer:{KEY}"], SECRETS["jwt_secret"]),
        TokenReader(SECRETS["jwt_secret"].encode()),
        Tickets(SECRETS["secret_key"].encode(), MemoryOnce(), lambda: 0.0),
    ]  # fmt: skip
    for one in held:
        assert CANARY not in repr(one)
        assert CANARY not in str(one)


def test_s43_a_traceback_shows_no_secret():
    """Tracebacks show lines of code and messages, never the values of variables."""
    from server.endpoints.tokens import TokenError, TokenReader

    reader = TokenReader(SECRETS["jwt_secret"].encode())
    with pytest.raises(TokenError) as caught:
        reader.read(token(secret=KEY + "x" * 32), 0)
    assert CANARY not in str(caught.getrepr(style="native"))
