"""What becomes of running answers when the server is told to stop."""

import asyncio
import json
import signal

import httpx
import pytest
from processes import wait_until
from websockets.exceptions import InvalidStatus
from wire import DELTA, open_client

FLOWING = [{"text": "First "}, {"tokens": 60, "rate_per_s": 60}]
STALLED = [{"text": "First "}, {"stall_ms": 600_000}]


async def begin(client, number=0):
    """Ask, and wait until text flows."""
    await client.ask(f"Question {number}?", event_id=f"q{number}")
    await client.until(lambda e: e["type"] == DELTA)


async def exit_code(target):
    return await asyncio.to_thread(target.wait)


async def test_f77_on_sigterm_answers_finish_and_the_process_ends_with_0(server):
    target = server(FLOWING)
    async with (
        open_client(target.url) as busy,
        open_client(target.url) as idle,
        httpx.AsyncClient(base_url=target.url, trust_env=False, timeout=30) as http,
    ):
        for number in range(5):
            await begin(busy, number)
        question = {"input": "By HTTP?", "product_id": "td-17"}
        async with http.stream("POST", "/v1/responses", json=question) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if DELTA in line:
                    break
            target.signal()
            for client in (busy, idle):
                told = await client.until("session.go_away")
                assert told["time_left_ms"] > 0
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "draining")
            await busy.ask("One more?", event_id="late")
            refused = await busy.until(lambda e: e["type"] == "error")
            assert refused["error"]["code"] == "draining"
            assert refused["error"]["event_id"] == "late"
            with pytest.raises(InvalidStatus) as caught:
                async with open_client(target.url):
                    pass
            assert caught.value.response.status_code == 503
            rest = [line async for line in lines]
        assert any("response.completed" in line for line in rest)
        for number in range(5):
            assert (await busy.final(f"q{number}"))["finish_reason"] == "stop"
        assert (await busy.closed())[0] == 1001
        assert (await idle.closed())[0] == 1001
    assert await exit_code(target) == 0
    outcomes = [
        line["outcome"] for line in target.log_lines() if line["event"] == "query_completed"
    ]
    assert outcomes == ["completed"] * 6
    assert "Traceback" not in target.log()


async def test_f77_an_answer_that_outlasts_the_drain_is_told_so(server):
    target = server(STALLED, drain_s="0.2", inter_token_timeout_s="600")
    async with open_client(target.url) as client:
        await begin(client)
        target.signal(signal.SIGINT)
        final = await client.final("q0")
        assert final["status"] == "failed"
        assert final["error"]["code"] == "draining"
        assert final["output_text"] == "First "
        assert (await client.closed())[0] == 1001
    assert await exit_code(target) == 0


async def test_f79_the_second_sigterm_ends_at_once(server):
    target = server(STALLED, drain_s="600", inter_token_timeout_s="600")
    async with open_client(target.url) as client:
        await begin(client)
        target.signal()
        await client.until("session.go_away")
        target.signal()
        assert await exit_code(target) == 0
        await client.closed()
        assert not any(event["type"].startswith("response.comp") for event in client.seen)
    assert "Traceback" not in target.log()


async def test_a_client_that_does_not_read_does_not_hold_up_the_end(server):
    target = server([{"tokens": 30_000, "rate_per_s": 0}])
    _, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1)
    body = json.dumps({"input": "Endless?", "product_id": "td-17"}).encode()
    head = f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    wait_until(lambda: "query_completed" in target.log(), "the end of the answer")
    target.signal()
    assert await exit_code(target) == 0
    writer.close()
