"""Spans of a real server as a real collector gets them; nothing of it when tracing is off."""

import asyncio
import json
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager

import httpx
import pytest
from collector import Collector
from processes import wait_until
from upstream import Plan, Upstream
from wire import open_client

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
TEXT = 'Open the canary lid. [MANUAL: p.1 "Insert a fresh battery of type CR2032"]'
QUESTION = "How do I change the battery of the canary?"


@pytest.fixture
def collector():
    with Collector() as one:
        yield one


@asynccontextmanager
async def traced_server(server, collector, *plans, **settings):
    async with Upstream(*plans) as upstream:
        yield await asyncio.to_thread(
            server,
            None,
            "--model",
            "gemini:gemini-2.5-flash,extractive",
            gemini_base_url=upstream.url,
            gemini_api_key="key-canary",
            trace_url=collector.url,
            log_format="json",
            warm_manuals="0",
            **settings,
        )


async def spans_of(collector, trace, *names):
    """The spans of a trace by name, once those named have come."""

    def found():
        return {span["name"]: span for span in collector.spans() if span["trace"] == trace}

    await asyncio.to_thread(wait_until, lambda: set(names) <= set(found()), f"spans {names}")
    return found()


async def test_the_parts_of_an_answer_are_one_trace_of_its_caller(server, collector):
    plan = Plan(texts=[TEXT], usage=(1000, 50, 200))
    async with traced_server(server, collector, plan) as target:
        async with open_client(
            target.url, additional_headers={"traceparent": TRACEPARENT}
        ) as client:
            await client.ask(QUESTION, event_id="one")
            final = await client.final("one")
            judged = {"event_id": str(uuid.uuid4()), "response_id": final["id"]}
            await client.send("feedback.create", action="accept", **judged)
            await client.until("feedback.acknowledged")
        model = "chat gemini-2.5-flash"
        spans = await spans_of(
            collector, TRACE, "answer", "extract", "retrieve", model, "write", "feedback"
        )
        answer = spans["answer"]
        assert answer["parent"] == spans["feedback"]["parent"] == PARENT
        assert answer["attributes"]["manicule.response_id"] == final["id"]
        assert answer["attributes"]["manicule.outcome"] == "completed"
        for name in ("extract", "retrieve", model):
            assert spans[name]["parent"] == answer["id"]
            assert answer["from_ns"] <= spans[name]["from_ns"] <= spans[name]["to_ns"]
        said = spans[model]["attributes"]
        assert said.pop("gen_ai.response.time_to_first_chunk") > 0
        assert said == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.stream": True,
            "gen_ai.output.type": "text",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 200,
            "gen_ai.response.finish_reasons": ["stop"],
            "manicule.attempt": 1,
            "manicule.attempt.reason": "first",
        }
        assert collector.resources["service.name"] == "manicule"
        [line] = [one for one in target.log_lines() if one["event"] == "query_completed"]
        assert line["trace_id"] == TRACE
        assert line["span_id"] == answer["id"]
        sent = json.dumps([span["attributes"] for span in collector.spans()])
        assert "canary" not in sent, "no question, no answer, no key"


async def test_a_question_may_name_a_trace_of_its_own_and_a_failed_call_says_so(server, collector):
    plans = (Plan(status=500), Plan(status=500), Plan(status=500))
    async with traced_server(server, collector, *plans) as target:
        async with open_client(target.url) as client:
            await client.ask(QUESTION, event_id="two", metadata={"traceparent": TRACEPARENT})
            assert (await client.final("two"))["fallback"] == "extractive"
        spans = await spans_of(collector, TRACE, "answer", "chat extractive")
        assert not spans["answer"]["failed"]
        calls = [s for s in collector.spans() if s["name"] == "chat gemini-2.5-flash"]
        assert all(call["failed"] for call in calls)
        assert calls[0]["attributes"]["error.type"]
        assert spans["chat extractive"]["attributes"]["gen_ai.provider.name"] == "extractive"


async def test_a_request_over_http_is_traced_too(server, collector):
    async with (
        traced_server(server, collector, Plan(texts=["One."])) as target,
        httpx.AsyncClient(base_url=target.url, trust_env=False, timeout=20) as http,
    ):
        asked = {"product_id": "td-17", "input": QUESTION}
        headers = {"traceparent": TRACEPARENT}
        reply = await http.post("/v1/responses", json=asked, headers=headers)
        assert "response.completed" in reply.text
        assert (await spans_of(collector, TRACE, "answer"))["answer"]["parent"] == PARENT


async def test_a_collector_that_is_away_delays_neither_answers_nor_the_end(server, free_port):
    async with Upstream(Plan(texts=["One."])) as upstream:
        target = await asyncio.to_thread(
            server,
            None,
            "--model",
            "gemini:gemini-2.5-flash",
            gemini_base_url=upstream.url,
            gemini_api_key="key",
            trace_url=f"http://127.0.0.1:{free_port}/v1/traces",
        )
        async with open_client(target.url) as client:
            await client.ask(QUESTION, event_id="one")
            assert (await client.final("one"))["status"] == "completed"
        target.signal()
        assert await asyncio.to_thread(target.wait, 20) == 0


async def test_a_caller_that_decided_against_sampling_is_heard(server, collector):
    async with traced_server(server, collector, Plan(texts=["One."])) as target:
        unsampled = {"traceparent": TRACEPARENT[:-2] + "00"}
        async with open_client(target.url, additional_headers=unsampled) as client:
            await client.ask(QUESTION, event_id="one")
            await client.final("one")
            other = {"traceparent": f"00-{'1' * 32}-{PARENT}-01"}
            await client.ask("And the pads?", event_id="two", metadata=other)
            await client.final("two")
        await spans_of(collector, "1" * 32, "answer")
        assert {span["trace"] for span in collector.spans()} == {"1" * 32}


OFF = """
import asyncio, sys
sys.modules["opentelemetry"] = None  # whoever imports it fails
from pathlib import Path
from server.config.settings import Settings
from server.plan import make_plan
from server.app import build_app, open_node
import server.serving, server.sampling

async def run():
    settings = Settings(data_dir=Path(sys.argv[1]))
    async with open_node(make_plan(settings)) as (node, readiness):
        build_app(node, readiness)
        await readiness.look()

asyncio.run(run())
print("server.telemetry.otel" in sys.modules)
"""


def test_nothing_is_imported_when_tracing_is_off(tmp_path):
    """Of ours, that is: redis-py imports OpenTelemetry by itself where it is installed."""
    run = [sys.executable, "-c", OFF, str(tmp_path / "data")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_without_the_extra_the_start_says_what_to_install(monkeypatch, tmp_path):
    from server import plan
    from server.config.read import SettingsError
    from server.config.settings import Settings

    monkeypatch.setattr(plan, "can_send", lambda: False)
    with pytest.raises(SettingsError, match=r"manicule\[tracing\]"):
        plan.make_plan(Settings(trace_url="http://127.0.0.1:4318/v1/traces", data_dir=tmp_path))
