"""What is said, signed, counted and logged at the end of an answer."""

import asyncio
import io
import json
import logging

import pytest
import structlog
from rig import BATTERY, KEY, MARKED, Rig, Told, failing

from protocol.errors import EventError
from protocol.messages import HistoryTurn
from protocol.receipts import verify
from server.llm.port import Finish, Usage
from server.telemetry.logs import _QUIET, configure_logs

CANARY = "canary7351"


@pytest.fixture
def log_lines():
    """The lines that the process's own configuration writes."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    configure_logs("debug", "json")
    written = io.StringIO()
    root.handlers[0].setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def told(lines):
    return [line for line in lines if line["event"] == "query_completed"]


async def test_one_full_line_and_not_a_word_of_the_question(log_lines):
    model = Told(f"The {CANARY}-answer.", Usage(100, 20))
    history = [HistoryTurn(role="user", content=f"{CANARY} before")]
    async with Rig(model) as rig:
        fields = {"user_id": f"{CANARY}-user", "metadata": {"k": CANARY}, "history": history}
        await rig.ask(f"Where is the {CANARY} battery?", scenario="studio", **fields)
        await rig.ask(f"Where is the {CANARY} battery?", scenario="studio", **fields)
    lines = log_lines()
    first, again = told(lines)
    assert first["product_id"] == "td-17"
    assert first["scenario"] == "studio"
    assert first["outcome"] == "completed"
    assert first["latency_ms"] > 0
    assert first["cache_hit"] is False
    assert first["token_count"] == 120
    assert first["model"] == "told"
    assert first["manual"] == "fetched"
    assert first["response_id"].startswith("resp_")
    assert again["cache_hit"] is True
    assert again["token_count"] == 0
    assert CANARY not in json.dumps(lines)


async def test_crashes_and_failures_log_no_question_either(log_lines):
    async with Rig(Told("a", RuntimeError("planted"))) as rig:
        await rig.ask(f"Where is the {CANARY}?", user_id=CANARY)
    async with Rig(Told(failing())) as rig:
        await rig.ask(f"Where is the {CANARY}?")
    lines = log_lines()
    assert [line["outcome"] for line in told(lines)] == ["failed", "failed"]
    assert any(line["event"] == "answer_crashed" for line in lines)
    assert CANARY not in json.dumps(lines)


async def test_an_abandoned_answer_has_its_line_too(log_lines):
    async with Rig(Told("a", asyncio.Event()), grace_s=0) as rig:
        listener = rig.start()
        await listener.until("response.output_text.delta")
        listener.reader.close()
        await listener.end()
    assert [line["outcome"] for line in told(log_lines())] == ["abandoned"]


async def test_the_receipt_holds_the_facts_and_verifies():
    async with Rig(Told("Open it.", Finish("stop", 0.8))) as rig:
        final = (await rig.ask()).final
        receipt = verify(final.receipt, [KEY])
        manual = (await rig.library.get("td-17", rig.catalog.get("td-17").manual)).prepared.manual
        assert receipt.response_id == final.id
        assert receipt.product_id == "td-17"
        assert receipt.manual_sha256 == manual.sha256
        assert receipt.model == "told"
        assert receipt.confidence == final.confidence
        assert receipt.prompt == f"answer/general/{final.prompt.version}"
        assert receipt.time == int(rig.now)
        with pytest.raises(EventError, match="receipt"):
            verify(final.receipt, [b"another key"])


async def test_final_facts_of_a_known_price():
    model = Told("Yes.", Usage(1_000_000, 1_000_000), name="gemini:gemini-2.5-flash")
    async with Rig(model) as rig:
        final = (await rig.ask()).final
        want = rig.prices.cost_usd(model.name, Usage(1_000_000, 1_000_000))
        assert want > 0
        assert final.cost_usd == want
        assert rig.moved("cost_usd_total", model.name) == want


async def test_the_cost_of_an_unknown_model_is_null_and_not_counted():
    async with Rig(Told("Yes.", Usage(10, 10), name="openai:nobody-knows")) as rig:
        assert (await rig.ask()).final.cost_usd is None
        assert rig.moved("cost_usd_total", "openai:nobody-knows") == 0


async def test_a_models_own_doubt_lowers_the_confidence():
    async with Rig(Told("Yes.")) as sure, Rig(Told("Yes.", Finish("stop", 0.0))) as unsure:
        high, low = (await sure.ask()).final, (await unsure.ask()).final
        assert low.confidence <= 0.5 < high.confidence


async def test_items_and_dropped_citations_are_counted():
    text = MARKED + ' [MANUAL: p.9 "nowhere"] [MANUAL: nonsense] [EDIT: x]'
    async with Rig(Told(text)) as rig:
        final = (await rig.ask()).final
        assert len(final.items) == 2
        assert rig.moved("items_total", "citation") == 1
        assert rig.moved("items_total", "pro_tip") == 1
        assert rig.moved("citations_total", "verified") == 1
        assert rig.moved("citations_total", "page_not_in_context") == 1
        assert rig.moved("citations_total", "malformed") == 1
        assert rig.moved("guidance_total", final.guidance) == 1


async def test_a_suggestion_of_a_catalog_product_is_known():
    async with Rig(Told("[SUGGESTION: Add the KT-10 kick trigger][SUGGESTION: A stool]")) as rig:
        known, other = (await rig.ask(BATTERY)).final.items
        assert (known.known, known.product_id) == (True, "kt-10")
        assert not other.known
