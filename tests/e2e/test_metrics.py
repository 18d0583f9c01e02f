"""Every row of the metrics table is moved by a real server at work."""

import asyncio
import datetime
import json
import re
import signal
import sqlite3
import uuid
from contextlib import closing

import httpx
from certificates import certificate
from judgements import interaction
from receiver import SECRET, Receiver, status
from upstream import Plan, Upstream
from wire import DELTA, open_client

from server.storage.sqlite_store import SqliteStore
from server.telemetry.metrics import METRICS, PREFIX

TEXT = 'Open it. [MANUAL: p.1 "Insert a fresh battery of type CR2032"] [PRO TIP: Keep a spare.]'
ANSWER = {"texts": [TEXT], "usage": (100_000, 1000, 100)}


async def drive(url):
    """Make everything happen once."""
    async with open_client(url) as client:
        await client.send("catalog.search", query="td")
        await client.until("catalog.results")
        await client.send("nope", event_id="e")
        await client.error("e")
        for event_id in ("fails over", "spares the model that rests"):
            await client.ask("How do I change the battery?", event_id=event_id)
            assert (await client.final(event_id))["fallback"] == "extractive"
        await client.ask("How do I \u200bchange the battery?", event_id="works")
        final = await client.final("works")
        assert final["cost_usd"] > 0
        assert len(final["items"]) == 2
        judgement = {"event_id": str(uuid.uuid4()), "response_id": final["id"], "action": "accept"}
        await client.send("response.resume", response_id=final["id"], epoch=1, starting_after=3)
        await client.until("response.resumed")
        await client.send("feedback.create", **judgement)
        await client.until("feedback.acknowledged")


async def judge_while_the_store_is_locked(url, folder):
    """Send a judgement that only the journal can take; it waits there until the block ends."""
    with closing(sqlite3.connect(folder / "data" / "manicule.db")) as store:
        store.execute("BEGIN IMMEDIATE")
        async with open_client(url) as client:
            await client.ask("How do I change the battery?", event_id="again")
            final = await client.final("again")
            event = {"event_id": str(uuid.uuid4()), "response_id": final["id"], "action": "reject"}
            await client.send("feedback.create", **event)
            assert (await client.until("feedback.acknowledged"))["level"] == "logged"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            oldest = f"{PREFIX}journal_oldest_seconds"
            return await scrape(http, lambda sums: sums.get(oldest))


async def leave_work(folder):
    """Leave a dead letter and an old question, as another process on the same store does."""
    store = SqliteStore(folder / "data" / "manicule.db")
    await store.open()
    await store.put_dead_letter(b"{}", "refused", 0)
    await store.write([interaction(started_at=0)])
    await store.aclose()


async def tell_two(receiver, folder):
    """Let one endpoint refuse for now and another for good; returns the file that names them."""
    await receiver.start()
    receiver.answer = lambda request: status(410 if "gone" in request.line else 500)
    entry = '[[endpoint]]\nname = "{0}"\nurl = "{1}/{0}"\n'
    path = folder / "webhooks.toml"
    path.write_text("".join(entry.format(name, receiver.url) for name in ("busy", "gone")))
    return path


async def be_slow(port):
    """Send what is answered at length and read nothing; returns the connection to close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(
        (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    frames = b"".join(
        bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text
        for text in (json.dumps({"type": kind}).encode() for kind in ("nope", "ping"))
    )
    for _ in range(60):
        writer.write(frames * 100)
        await asyncio.sleep(0)
    return writer


def values(text):
    """The sum of each sample over its labels."""
    sums = {}
    for line in text.splitlines():
        found = re.match(r"(\w+)(\{.*\})? (\S+)$", line)
        if found:
            sums[found[1]] = sums.get(found[1], 0.0) + float(found[3])
    return sums


async def scrape(http, wanted):
    """The metrics, once `wanted` holds for them."""
    async with asyncio.timeout(30):
        while True:
            found = values((await http.get("/metrics")).text)
            if wanted(found):
                return found
            await asyncio.sleep(0.02)


async def test_every_metric_of_the_table_moves(server, free_port, redis_server, tmp_path):
    log = redis_server("--appendonly", "yes", "--maxmemory-policy", "noeviction")
    (tmp_path / "proxy.pem").write_bytes(certificate(datetime.datetime(2040, 1, 1)))
    receiver = Receiver()
    hooks = await tell_two(receiver, tmp_path)
    failing = Plan(status=500)
    plans = (failing, failing, Plan(**ANSWER), Plan(texts=["One ", "two"], stall_after=1))
    limited = Plan(status=429, headers={"retry-after": "600"})
    async with (
        Upstream(*plans) as upstream,
        Upstream(limited) as resting,
        httpx.AsyncClient(trust_env=False) as plain,
    ):
        target = await asyncio.to_thread(
            server,
            None,
            "--model",
            f"gemini:gemini-2.5-flash,openai:gpt-4.1@{resting.url}/v1,extractive",
            gemini_base_url=upstream.url,
            gemini_api_key="key-canary",
            spend_cap_usd="0.05",  # for two answers
            memory_high_water_bytes="100000000000",
            cache_url=f"redis://127.0.0.1:{free_port}/0",
            log_url=log.url,
            webhooks=str(hooks),
            webhook_secret=SECRET,
            expire="remove",
            allow_http="true",
            allow_private_addresses="true",
            watched_certificates=str(tmp_path / "proxy.pem"),
            send_buffer_bytes="4096",
            slow_client_s="0.2",
            inter_token_timeout_s="600",
            model_concurrency="1",
            max_queued_answers="1",
            max_frames_per_s="1000000",
        )
        await leave_work(target.folder)
        await drive(target.url)
        waiting = await judge_while_the_store_is_locked(target.url, target.folder)
        slow = await be_slow(target.port)
        assert (await plain.get(f"{target.url}/ready")).status_code == 200
        async with (
            httpx.AsyncClient(base_url=target.url, trust_env=False) as http,
            open_client(target.url) as client,
        ):
            await client.ask("Does this one stall?", event_id="stalls")
            await client.until(lambda e: e["type"] == DELTA)
            await client.ask("Does this one wait?", event_id="waits")
            await client.until(lambda e: e.get("stage") == "queued")
            await client.ask("Is this one refused?", event_id="refused")
            assert (await client.final("refused"))["error"]["code"] == "overloaded"
            closed = f"{PREFIX}slow_clients_total"
            lag = f"{PREFIX}event_loop_lag_seconds_count"
            blocked = f"{PREFIX}event_loop_blocked_total"
            target.signal(signal.SIGSTOP)  # as if its loop were held up
            await asyncio.sleep(0.2)
            target.signal(signal.SIGCONT)
            counted = [
                f"{PREFIX}{name}"
                for name in ("webhooks_waiting", "webhooks_dead", "expired_rows_total")
            ]
            wanted = (closed, lag, blocked, *counted)
            found = await scrape(http, lambda sums: all(sums.get(name) for name in wanted))
            slow.close()
        found = {name: value or waiting.get(name, 0) for name, value in found.items()}
        suffix = {"counter": "", "gauge": "", "histogram": "_count"}
        still = [
            row.name for row in METRICS if not found.get(f"{PREFIX}{row.name}{suffix[row.kind]}")
        ]
        assert still == []
        assert "key-canary" not in target.log()
    await receiver.stop()
