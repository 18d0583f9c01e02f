"""What every store of record promises, run over SQLite and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import (
    DAY_MS,
    INTERACTIONS,
    JUDGEMENTS,
    NOW_MS,
    changed,
    interaction,
    judgement,
    uuid7,
)

from server.storage.opening import open_store
from server.storage.records import encode_row
from server.storage.store import (
    Filter,
    RowRefusedError,
    StoreUnavailableError,
    Tally,
)

AWKWARD = [
    "",
    " \t\r\n ",
    "é e\u0301 \u2028\u2029\ufeff\u200b\u202e \U000e0041 \U0001f44d\U0001f3fd \U0010ffff \uffff",
    "'; DROP TABLE feedback; --",
    '{"a": "\\u0000"}',
    "=HYPERLINK(1)",
    "\x01\x1b[31m\x7f\x85",
    '{NULL,"x"}',
]


async def all_judged(store, where=None, after=""):
    return [one async for one in store.judged(where or Filter(), after)]


async def test_returns_what_was_written(store):
    row = judgement(tags=("a", "b"), metadata={"z": "1", "a": "2"}, confidence=0.7, score=None)
    answer = interaction(cost_usd=0.001, is_confused=True, items=b"\x00\xff")
    assert await store.write([row, answer]) == ["inserted", "inserted"]
    assert await store.feedback_of("r1") == [row]
    assert list((await store.feedback_of("r1"))[0].metadata) == ["z", "a"]
    assert await store.interaction("r1") == answer
    assert await store.interaction("r2") is None
    assert await store.feedback_of("r2") == []


async def test_writes_nothing_for_no_rows(store):
    assert await store.write([]) == []
    assert await all_judged(store) == []


@pytest.mark.parametrize("text", AWKWARD)
async def test_keeps_every_text_byte_for_byte(store, text):
    texts = [
        field.name
        for field in msgspec.structs.fields(type(judgement()))
        if field.type in (str, str | None) and field.name not in ("event_id", "action")
    ]
    row = judgement(tags=(text, text), metadata={text: text}, **dict.fromkeys(texts, text))
    texts = [
        field.name
        for field in msgspec.structs.fields(type(interaction()))
        if field.type in (str, str | None)
    ]
    answer = interaction(items=text.encode(), **dict.fromkeys(texts, text))
    await store.write([row, answer])
    assert await store.feedback_of(text, text) == [row]
    assert await store.interaction(text, text) == answer


@given(rows=st.lists(JUDGEMENTS, max_size=5), answers=st.lists(INTERACTIONS, max_size=3))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_keeps_any_row(store, rows, answers):
    # Ids may repeat within an example or from one to the next: then the first row stays.
    results = await store.write([*rows, *answers])
    for row, result in zip(rows, results, strict=False):
        if result == "inserted":
            kept = await store.feedback_of(row.response_id, row.tenant)
            # A later decision of the same person takes the weight of an earlier one.
            assert row in [changed(one, weight=row.weight) for one in kept]
            assert all(
                one.weight in (0, row.weight) for one in kept if one.event_id == row.event_id
            )
    for answer, result in zip(answers, results[len(rows) :], strict=True):
        if result == "inserted":
            assert await store.interaction(answer.response_id, answer.tenant) == answer


async def test_tells_duplicates_from_conflicts(store):
    row = judgement()
    other = changed(row, payload_sha256="b" * 64, action="reject")
    assert await store.write([row, row, other]) == ["inserted", "duplicate", "conflict"]
    assert await store.write([other, row, judgement()]) == ["conflict", "duplicate", "inserted"]
    assert row in await store.feedback_of("r1")
    assert other not in await store.feedback_of("r1")


async def test_keeps_the_first_of_two_interactions(store):
    first, second = interaction(answer="1"), interaction(answer="2", started_at=NOW_MS + 1)
    assert await store.write([first, second]) == ["inserted", "duplicate"]
    assert await store.write([second]) == ["duplicate"]
    assert await store.interaction("r1") == first


async def test_tells_what_one_person_asked_lately(store):
    asked = [("r1", "u", "a", 0), ("r2", "u", "a", 5), ("r3", "u", "b", 9), ("r4", "v", "a", 9)]
    rows = [
        interaction(response_id=one, user_id=user, tenant=tenant, started_at=NOW_MS + late)
        for one, user, tenant, late in asked
    ]
    await store.write([*rows, interaction(response_id="r5", tenant="a")])
    assert sorted(await store.asked("u", "a", since=NOW_MS)) == ["r1", "r2"]
    assert await store.asked("u", "a", since=NOW_MS + 5) == ["r2"]
    assert await store.asked("u", since=NOW_MS) == []


async def test_keeps_tenants_apart(store):
    row = judgement(tenant="a", user_id="u")
    theirs = changed(row, tenant="b", payload_sha256="b" * 64)
    answers = [interaction(tenant="a"), interaction(tenant="b", answer="other")]
    assert await store.write([row, theirs, *answers]) == ["inserted"] * 4
    assert await store.feedback_of("r1", "a") == [row]
    assert await store.feedback_of("r1", "b") == [theirs]
    assert await store.interaction("r1", "b") == answers[1]
    assert await store.interaction("r1") is None
    assert [one.feedback for one in await all_judged(store, Filter(tenant="a"))] == [row]
    assert (await all_judged(store, Filter(tenant="a")))[0].interaction == answers[0]
    assert await store.tally([], Filter(tenant="b")) == [Tally((), accepted=1)]
    assert await store.tally([], Filter()) == []
    assert await store.erase_user("u", "a", now=NOW_MS) == {
        "feedback": 1,
        "interactions": 0,
        "notices": 0,
        "dead_letters": 0,
    }
    assert await store.feedback_of("r1", "b") == [theirs]


REFUSED = {
    "nul": {"comment": "a\x00b"},
    "surrogate": {"comment": "\ud800"},
    "nul in metadata": {"metadata": {"a": "\x00"}},
    "surrogate in metadata": {"metadata": {"\udfff": "a"}},
    "nul in a tag": {"tags": ("\x00",)},
    "unknown action": {"action": "like"},
    "score over 5": {"score": 6},
    "score too large": {"score": 2**40},
    "score no number": {"score": "x"},
    "time too large": {"received_at": 2**70},
    "time before 1970": {"received_at": -1},
    "confidence nan": {"confidence": float("nan")},
    "confidence over 1": {"confidence": 1.5},
    "weight infinite": {"weight": float("inf")},
    "weight over 1": {"weight": 2.0},
    "id no uuid": {"event_id": "x"},
    "id upper case": {"event_id": uuid7().upper()},
    "id missing": {"event_id": None},
    "text missing": {"response_id": None},
    "text a list": {"comment": ["x"]},
    "metadata missing": {"metadata": None},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
async def test_f09_refuses_a_batch_with_a_poison_row_whole(store, fields):
    good = [judgement() for _ in range(3)]
    poison = msgspec.structs.replace(judgement(), **fields)
    with pytest.raises(RowRefusedError):
        await store.write([*good, poison, interaction()])
    assert await all_judged(store) == []
    assert await store.tally([], Filter()) == []
    assert await store.interaction("r1") is None
    assert await store.write(good) == ["inserted"] * 3


async def test_f09_refuses_a_poison_interaction(store):
    for fields in ({"answer": "\x00"}, {"latency_ms": float("nan")}, {"question": "\udc00"}):
        with pytest.raises(RowRefusedError):
            await store.write([judgement(), interaction(**fields)])
    assert await all_judged(store) == []


async def test_f10_one_id_from_many_nodes_is_one_row(opened):
    stores = [await opened() for _ in range(10)]
    row = judgement()
    results = await asyncio.gather(
        *(store.write([row]) for store in stores for _ in range(10)), return_exceptions=True
    )
    assert sorted(map(str, results)) == ["['duplicate']"] * 99 + ["['inserted']"]
    assert await stores[0].feedback_of("r1") == [row]
    assert await stores[1].tally([], Filter()) == [Tally((), accepted=1)]


async def test_f11_the_first_payload_wins_among_many_writers(opened):
    stores = [await opened() for _ in range(4)]
    rows = [judgement(event_id=uuid7(number=1), payload_sha256=f"{n:064}") for n in range(40)]
    results = await asyncio.gather(*(stores[n % 4].write([rows[n]]) for n in range(40)))
    [winner] = [row for row, result in zip(rows, results, strict=True) if result == ["inserted"]]
    assert results.count(["conflict"]) == 39
    assert await stores[0].feedback_of("r1") == [winner]


async def test_overlapping_batches_of_many_writers_never_block_each_other_for_good(opened):
    stores = [await opened() for _ in range(4)]
    rows = [judgement(product_id=f"p{n % 7}") for n in range(200)]

    async def write(store, order):
        return await store.write([*rows[order:], *rows[:order]][:: 1 if order % 2 else -1])

    results = await asyncio.gather(*(write(stores[n % 4], n * 13) for n in range(12)))
    assert sum(result.count("inserted") for result in results) == 200
    assert sum(result.count("duplicate") for result in results) == 11 * 200
    assert await stores[0].tally([], Filter()) == [Tally((), accepted=200)]


async def test_f12_an_id_of_last_month_meets_its_first_row(opened):
    store = await opened()
    row = judgement(event_id=uuid7(NOW_MS - 30 * DAY_MS))
    assert await store.write([row]) == ["inserted"]
    later = await opened(now=lambda: (NOW_MS + 40 * DAY_MS) / 1000)
    again = changed(row, received_at=NOW_MS + 40 * DAY_MS)
    assert await later.write([again]) == ["duplicate"]
    assert await later.feedback_of("r1") == [row]


async def test_takes_ids_of_any_time_and_version(store):
    ids = [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "00000000-0000-7000-8000-000000000000",
        "d9428888-122b-41e1-b85c-61cd3cbb3210",
        uuid7(NOW_MS + 3650 * DAY_MS),
        uuid7(NOW_MS - 3650 * DAY_MS),
    ]
    rows = [judgement(event_id=one) for one in ids]
    assert await store.write(rows) == ["inserted"] * len(ids)
    assert await store.write(rows) == ["duplicate"] * len(ids)
    assert [one.feedback.event_id for one in await all_judged(store)] == sorted(ids)


async def test_orders_judgements_of_an_answer_by_arrival(store):
    rows = [judgement(received_at=NOW_MS - n) for n in range(5)]
    await store.write(rows)
    assert await store.feedback_of("r1") == rows[::-1]


async def test_keeps_dead_letters_byte_for_byte(store):
    originals = [b"", b"\x00\xff\xd8", '{"é":"\u2028"}'.encode(), bytes(range(256)) * 4096]
    for n, original in enumerate(originals):
        await store.put_dead_letter(original, "no \x00 text \ud800", n)
    found = await store.dead_letters(10)
    assert [one.original for one in found] == originals
    assert [one.received_at for one in found] == [0, 1, 2, 3]
    assert found[0].reason == "no \\x00 text \\ud800"
    assert found == sorted(found, key=lambda one: one.id)
    assert await store.dead_letters(2) == found[:2]
    assert await store.dead_letters(2, found[1].id) == found[2:]
    assert await store.drop_dead_letters([found[0].id, found[2].id, 10**9]) == 2
    assert await store.drop_dead_letters([]) == 0
    assert await store.dead_letters(10) == [found[1], found[3]]


async def test_never_gives_the_id_of_a_dead_letter_again(store):
    await store.put_dead_letter(b"1", "", 0)
    [first] = await store.dead_letters(1)
    await store.drop_dead_letters([first.id])
    await store.put_dead_letter(b"2", "", 0)
    [second] = await store.dead_letters(1, first.id)
    assert second.original == b"2"


async def test_erases_one_person(store):
    theirs = [judgement(user_id="zoë", response_id="r1"), interaction(user_id="zoë")]
    others = [judgement(user_id="zo", response_id="r2"), judgement(response_id="r2")]
    await store.write([*theirs, *others])
    letters = [
        encode_row(theirs[0]),
        encode_row(changed(theirs[0], tenant="b")),
        encode_row(others[0]),
        b'{"kind": broken, "user_id": "zo\\u00eb"}',
        '{"user_id": "zoë", \udcff'.encode(errors="surrogateescape"),
        b"[1]",
    ]
    for letter in letters:
        await store.put_dead_letter(letter, "", 0)
    before = await store.tally([], Filter())
    assert await store.erase_user("zoë", now=NOW_MS) == {
        "feedback": 1,
        "interactions": 1,
        "notices": 0,
        "dead_letters": 3,
    }
    assert await store.erase_user("zoë", now=NOW_MS) == {
        "feedback": 0,
        "interactions": 0,
        "notices": 0,
        "dead_letters": 0,
    }
    assert await store.feedback_of("r1") == []
    assert await store.interaction("r1") is None
    assert len(await store.feedback_of("r2")) == 2
    left = [one.original for one in await store.dead_letters(10)]
    assert left == [letters[1], letters[2], letters[5]]
    assert await store.tally([], Filter()) == before


async def test_a_reopened_store_has_everything(opened):
    first = await opened()
    rows = [judgement() for _ in range(10)]
    await first.write([*rows, interaction()])
    await first.aclose()
    await first.aclose()
    second = await opened()
    assert await second.write(rows) == ["duplicate"] * 10
    assert await second.interaction("r1") == interaction()
    await second.check()


async def test_a_closed_or_unopened_store_is_unavailable(opened, store_url):
    closed = await opened()
    await closed.aclose()
    for store in (closed, open_store(store_url, now=lambda: 0.0)):
        for work in (store.check(), store.write([judgement()]), store.tally([], Filter())):
            with pytest.raises(StoreUnavailableError):
                await work


async def test_many_nodes_open_a_new_store_at_once(opened):
    stores = await asyncio.gather(*(opened() for _ in range(8)))
    for store in stores:
        await store.check()
