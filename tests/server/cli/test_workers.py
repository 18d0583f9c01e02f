"""Several workers behind one port: whoever is scraped answers for all of them."""

import asyncio
import re
import signal

import httpx

QUESTIONS = 12


async def test_metrics_are_those_of_all_workers(start):
    async with start("serve", "--port", "0", "--workers", "2") as process:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        address = re.search(r"http://[\d.:]+", line)[0]
        body = {"product_id": "orrinfeld-od-12", "input": "How do I do a factory reset?"}
        for _ in range(QUESTIONS):  # each over a connection of its own, so that both get some
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                answer = await client.post(f"{address}/v1/responses", json=body)
                assert "response.completed" in answer.text
        for _ in range(6):
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                metrics = (await client.get(f"{address}/metrics")).text
            total = re.findall(r"^manicule_queries_total\{.*\} (\S+)$", metrics, re.MULTILINE)
            assert sum(map(float, total)) == QUESTIONS
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
