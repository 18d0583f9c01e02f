"""Which judgements are taken in, and that what the client sent comes back byte for byte."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from feedback_rig import interaction, uuid7

from protocol.codec import decode
from protocol.errors import EventError
from protocol.messages import FeedbackCreate
from protocol.receipts import Receipt, sign
from server.feedback.intake import (
    MAX_AHEAD_MS,
    RETENTION_MS,
    AnswerFacts,
    digest,
    facts_of_interaction,
    facts_of_receipt,
    judge,
    resolve,
)

NOW_MS = 1_795_255_200_000
KEY = b"k" * 32
OLD_KEY = b"o" * 32
FACTS = AnswerFacts(response_id="resp-1", tenant="acme", user_id="ann", model="extractive")
RECEIPT = Receipt(
    response_id="resp-1",
    product_id="td-17",
    manual_sha256="ab" * 32,
    prompt="answer/studio/3",
    arm="b",
    model="extractive",
    confidence=0.5,
    time=NOW_MS // 1000,
    tenant="acme",
)


def event(**changes) -> FeedbackCreate:
    given = {"event_id": uuid7(NOW_MS), "response_id": "resp-1", "action": "accept"}
    return FeedbackCreate(**(given | changes))


def judged(one: FeedbackCreate, facts: AnswerFacts | None = FACTS, **changes):
    given = {"now_ms": NOW_MS, "user_id": "ann", "tenant": "acme"}
    return judge(one, facts=facts, **(given | changes))


def refusal(call, *args, **options) -> EventError:
    with pytest.raises(EventError) as caught:
        call(*args, **options)
    return caught.value


def test_what_the_client_sent_is_kept_byte_for_byte():
    sent = {
        "type": "feedback.create",
        "event_id": uuid7(NOW_MS),
        "response_id": "resp-1",
        "item_id": "item-2",
        "action": "modify",
        "score": 3,
        "final_text": "  =HYPERLINK(\u2028)\r\n\tHold “both” keys \U0001f469\u200d\U0001f373 ",
        "tags": ["tone_inappropriate", "factual_error", "factual_error"],
        "comment": "e\u0301 is not \u00e9 \x1b[31m <script>",
        "occurred_at": "2026-11-21t10:00:00.1200z",
        "metadata": {"b": "2", "a": "", "tenant": "globex"},
    }
    row = judged(decode(msgspec.json.encode(sent)))
    kept = {name: getattr(row, name) for name in sent if name != "type"}
    assert kept == {k: tuple(v) if k == "tags" else v for k, v in sent.items() if k != "type"}
    assert list(row.metadata) == ["b", "a", "tenant"]
    assert (row.tenant, row.user_id, row.received_at) == ("acme", "ann", NOW_MS)


@pytest.mark.parametrize("spell", [str.upper, lambda i: f"{{{i}}}", lambda i: i.replace("-", "")])
def test_one_id_has_one_spelling(spell):
    plain = event()
    assert judged(event(event_id=spell(plain.event_id))).event_id == plain.event_id
    assert digest(event(event_id=spell(plain.event_id))) == digest(plain)


def test_other_ids_than_version_7_carry_no_time():
    for one in (uuid.uuid4(), uuid.uuid1(), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
        assert judged(event(event_id=str(one))).event_id == str(one)


def test_other_content_has_another_hash():
    base = event(comment="good")
    hashes = {
        digest(one)
        for one in [
            base,
            event(comment="good "),
            event(comment="good", action="reject"),
            event(comment="good", item_id="i"),
            event(comment="good", metadata={"a": "b"}),
            event(comment="good", tags=["factual_error"]),
        ]
    }
    assert len(hashes) == 6
    assert digest(event(comment="good")) == digest(base)
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert digest(event(metadata=one)) == digest(event(metadata=two))


def test_facts_come_from_the_answer_never_from_the_client():
    row = judged(event(metadata={"model": "gpt", "tenant": "globex"}), facts_of_receipt(RECEIPT))
    assert (row.model, row.product_id, row.scenario) == ("extractive", "td-17", "studio")
    assert (row.prompt_version, row.arm, row.confidence) == ("answer/studio/3", "b", 0.5)
    assert row.tenant == "acme"


def test_an_item_is_known_by_its_type():
    stored = interaction(response_id="resp-1", items=b'[{"id":"i1","type":"edit","x":1}]')
    facts = facts_of_interaction(stored)
    assert judged(event(item_id="i1"), facts).item_type == "edit"
    assert judged(event(item_id="i2"), facts).item_type is None
    broken = facts_of_interaction(interaction(response_id="resp-1", items=b"{"))
    assert judged(event(item_id="i1"), broken).item_type is None


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_a_receipt_of_any_node_suffices(key):
    one = event(receipt=sign(RECEIPT, key))
    facts = resolve(one, keys=[KEY, OLD_KEY], known=None, tenant="acme")
    assert facts.product_id == "td-17"


def test_a_receipt_and_what_is_known_add_up():
    known = AnswerFacts("resp-1", "acme", scenario="live", items={"i1": "edit"}, model="other")
    one = event(receipt=sign(RECEIPT, KEY))
    facts = resolve(one, keys=[KEY], known=known, tenant="acme")
    assert (facts.scenario, facts.items, facts.model) == ("live", {"i1": "edit"}, "extractive")


def test_a_receipt_of_another_answer_or_signature_is_refused():
    other = msgspec.structs.replace(RECEIPT, response_id="resp-2")
    for receipt in (sign(other, KEY), sign(RECEIPT, b"x" * 32), "nonsense", ""):
        found = refusal(resolve, event(receipt=receipt), keys=[KEY], known=FACTS, tenant="acme")
        assert found.code == "invalid_receipt"
        assert found.param == "receipt"


def test_what_was_asked_here_needs_no_receipt():
    assert resolve(event(), keys=[KEY], known=FACTS, tenant="acme", owner="ann") is FACTS


def test_f22_unknown_and_not_yours_are_answered_alike():
    one = event()
    signed = event(event_id=one.event_id, receipt=sign(RECEIPT, KEY))
    refusals = [
        refusal(resolve, one, keys=[KEY], known=None, tenant="acme"),
        refusal(resolve, one, keys=[KEY], known=FACTS, tenant="globex"),
        refusal(resolve, one, keys=[KEY], known=FACTS, tenant="acme", owner="bob"),
        refusal(resolve, signed, keys=[KEY], known=FACTS, tenant="globex"),
        refusal(resolve, signed, keys=[KEY], known=None, tenant="globex"),
        refusal(judged, one, None),
        refusal(judged, one, AnswerFacts("resp-2")),
    ]
    assert {one.code for one in refusals} == {"response_not_found"}
    assert len({str(vars(one)) for one in refusals}) == 1


def test_f13_ids_of_the_future_and_of_what_is_gone_are_refused():
    ahead = refusal(judged, event(event_id=uuid7(NOW_MS + MAX_AHEAD_MS + 1)))
    assert (ahead.code, ahead.param) == ("invalid_event", "event_id")
    assert "future id" in ahead.message
    stale = refusal(judged, event(event_id=uuid7(NOW_MS - RETENTION_MS - 1)))
    assert (stale.code, stale.param) == ("invalid_event", "event_id")
    assert "stale id" in stale.message
    for ms in (NOW_MS + MAX_AHEAD_MS, NOW_MS - RETENTION_MS):
        assert judged(event(event_id=uuid7(ms)))
