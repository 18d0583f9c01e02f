import asyncio

import httpx
import pytest
from upstream import Plan, Upstream

from server.llm.shards import ShardedTransport


async def open_stream(client: httpx.AsyncClient, url: str) -> httpx.Response:
    request = client.build_request("POST", f"{url}/chat/completions", json={})
    return await client.send(request, stream=True)


async def test_pools_fill_in_order_and_are_given_back():
    transport = ShardedTransport(shard_size=2)
    async with (
        Upstream(Plan(stall_after=1)) as upstream,
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
    ):
        responses = [await open_stream(client, upstream.url) for _ in range(5)]
        assert transport.running == [2, 2, 1]
        await responses[0].aclose()
        assert transport.running == [1, 2, 1]
        responses.append(await open_stream(client, upstream.url))
        assert transport.running == [2, 2, 1]
        for response in responses:
            await response.aclose()
            await response.aclose()
        assert transport.running == [0, 0, 0]


async def test_failed_and_cancelled_requests_are_given_back():
    transport = ShardedTransport()
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        async with Upstream(Plan(silent=True)) as upstream:
            task = asyncio.create_task(open_stream(client, upstream.url))
            async with asyncio.timeout(20):
                await upstream.asked.wait()
            assert transport.running == [1]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert transport.running == [0]
        with pytest.raises(httpx.ConnectError):
            await open_stream(client, upstream.url)
        assert transport.running == [0]


async def test_f35_a_cancel_at_any_step_leaves_no_connection():
    transport = ShardedTransport()
    async with (
        Upstream(Plan(silent=True)) as upstream,
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
    ):
        for steps in range(120):
            task = asyncio.create_task(open_stream(client, upstream.url))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert upstream.requests
        async with asyncio.timeout(20):
            await upstream.wait_for_nobody()
    assert transport.running == [0]
