"""What endpoints are told, and what never."""

import json

from judgements import NOW_MS, judgement
from receiver import SECRET

from server.storage.records import DeadLetter, encode_row
from server.webhooks.endpoints import Endpoint
from server.webhooks.notices import Announcements
from server.webhooks.signing import read_key

KEYS = (read_key(SECRET),)
CANARY = "Vogelscheuche"


def endpoint(name="a", **fields):
    return Endpoint(name, "https://hooks.example.com", KEYS, **fields)


def letter(original, number=7):
    return DeadLetter(id=number, received_at=NOW_MS, original=original, reason=CANARY)


def told(notices):
    return [(one.endpoint, one.event) for one in notices]


def test_a_judgement_is_told_and_a_rejection_twice():
    announcer = Announcements([endpoint()])
    assert told(announcer.of_rows([judgement()])) == [("a", "feedback.created")]
    rejected = announcer.of_rows([judgement(action="reject")])
    assert told(rejected) == [("a", "feedback.created"), ("a", "answer.rejected")]
    assert rejected[0].message_id != rejected[1].message_id


def test_the_body_says_what_was_judged_and_how():
    row = judgement(
        action="reject", tags=("tone",), score=2, item_id="i1", item_type="warning", tenant="t",
        product_id="od-12", model="m", confidence=0.5,
    )  # fmt: skip
    notice = Announcements([endpoint(events=("answer.rejected",))]).of_rows([row])[0]
    event = json.loads(notice.body)
    assert (event["type"], event["timestamp"]) == ("answer.rejected", "2026-11-21T10:00:00.000Z")
    expected = {"event_id": row.event_id, "response_id": "r1", "action": "reject", "score": 2}
    expected |= {"tags": ["tone"], "item_id": "i1", "item_type": "warning", "tenant": "t"}
    assert expected.items() <= event["data"].items()
    assert (notice.created_at, notice.tenant) == (NOW_MS, "t")


def test_no_text_and_no_person_unless_comments_are_asked_for():
    row = judgement(
        action="reject", comment=CANARY + "1", final_text=CANARY + "2", user_id=CANARY + "3",
        metadata={CANARY: CANARY},
    )  # fmt: skip
    announcer = Announcements([endpoint("short"), endpoint("full", comments=True)])
    bodies = {one.endpoint: one.body.decode() for one in announcer.of_rows([row])}
    assert CANARY not in bodies["short"]
    assert bodies["full"].count(CANARY) == 1
    assert json.loads(bodies["full"])["data"]["comment"] == CANARY + "1"
    assert {one.user_id for one in announcer.of_rows([row])} == {CANARY + "3"}


def test_an_id_is_the_same_whenever_it_is_made_and_holds_no_full_stop():
    row = judgement()
    again = Announcements([endpoint("b")]).of_rows([row])[0]
    [first] = Announcements([endpoint("a")]).of_rows([row])
    assert first.message_id == again.message_id
    assert "." not in first.message_id
    assert first.message_id.startswith("msg_")
    [other] = Announcements([endpoint()]).of_rows([judgement(event_id=row.event_id, tenant="x")])
    assert other.message_id != first.message_id


def test_only_the_tenant_asked_for_is_told():
    announcer = Announcements([endpoint("acme", tenant="acme"), endpoint("every")])
    rows = [judgement(tenant="acme"), judgement(tenant="other"), judgement()]
    names = [name for name, _ in told(announcer.of_rows(rows))]
    assert names == ["acme", "every", "every", "every"]


def test_a_dead_letter_is_told_without_what_it_holds():
    announcer = Announcements([endpoint("acme", tenant="acme"), endpoint("every")])
    original = encode_row(judgement(tenant="acme", comment=CANARY, user_id=CANARY))
    notices = announcer.of_letter(letter(original))
    assert told(notices) == [("acme", "dead_letter.created"), ("every", "dead_letter.created")]
    data = json.loads(notices[0].body)["data"]
    assert data == {"id": 7, "tenant": "acme", "bytes": len(original)}
    assert told(announcer.of_letter(letter(b"\xff"))) == [("every", "dead_letter.created")]
    assert json.loads(announcer.of_letter(letter(b"[]"))[0].body)["data"]["tenant"] is None


def test_letters_with_awkward_tenants_are_told_all_the_same():
    announcer = Announcements([endpoint()])
    for original in (b'{"tenant": "\\u0000"}', b'{"tenant": "\\ud800"}', b'{"tenant": 5}'):
        [notice] = announcer.of_letter(letter(original))
        assert "\x00" not in notice.tenant
        notice.tenant.encode()


def test_a_time_that_no_calendar_reaches_is_told_as_the_last_one():
    [notice] = Announcements([endpoint()]).of_rows([judgement(received_at=2**62)])
    assert json.loads(notice.body)["timestamp"].startswith("9999-12-31")


def test_nobody_is_told_without_endpoints():
    assert Announcements([]).of_rows([judgement()]) == []
    assert Announcements([]).of_letter(letter(b"")) == []
