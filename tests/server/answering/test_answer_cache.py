"""What makes an answer is its key; what cannot be read is a miss."""

import msgspec
import pytest
from rig import BATTERY, MARKED, PAGES, Rig, Told

from protocol.messages import HistoryTurn
from server.answering.answer_cache import (
    FORMAT_VERSION,
    AnswerCache,
    CachedAnswer,
    answer_key,
    normalise_question,
)
from server.storage.blobs import MemoryBlobCache

ANSWER = CachedAnswer(version=FORMAT_VERSION, text="Open it.", model="m", fallback=None, signal=0.5)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I change it?", "how do i change it"),
        ("How  do\tI\nchange it ?", "How do I change it?"),
        ("Ｈｏｗ?", "how"),
        ("Is it STRASSE?!..", "is it straße"),
    ],
)
def test_what_cannot_change_an_answer_is_left_out(one, other):
    assert normalise_question(one) == normalise_question(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1.5 A?", "15 A?"), ("no reset", "reset"), ("C++", "C"), ("a b", "ab")]
)
def test_what_can_change_an_answer_stays(one, other):
    assert normalise_question(one) != normalise_question(other)


def test_the_key_changes_with_every_part_and_with_their_borders():
    parts = ["sha", "prompt", "model", "2000", "1024", "en", "facts", "user:hi", "question"]
    keys = {answer_key(*parts)}
    for index in range(len(parts)):
        changed = [*parts]
        changed[index] += "x"
        keys.add(answer_key(*changed))
    keys.add(answer_key(None, *parts[1:]))
    keys.add(answer_key("", *parts[1:]))
    keys.add(answer_key(*parts[:-2], parts[-2] + parts[-1]))
    assert len(keys) == len(parts) + 4


async def test_an_answer_comes_back_until_its_time_is_over():
    clock = Clock()
    cache = AnswerCache(MemoryBlobCache(10**6, clock), ttl_s=60)
    await cache.put("k", ANSWER)
    assert await cache.get("k") == ANSWER
    clock.now = 61
    assert await cache.get("k") is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b"[]",
        b"{}",
        b"null",
        b'{"version":1}',
        msgspec.json.encode(ANSWER)[:-3],
        msgspec.json.encode(msgspec.structs.replace(ANSWER, version=FORMAT_VERSION + 1)),
        msgspec.json.encode(ANSWER).replace(b'"text":"Open it."', b'"text":7'),
    ],
)
async def test_an_unreadable_value_is_a_miss_and_is_written_anew(value):
    store = MemoryBlobCache(10**6, Clock())
    cache = AnswerCache(store, ttl_s=60)
    await store.put("k", value, ttl_s=60)
    assert await cache.get("k") is None
    await cache.put("k", ANSWER)
    assert await cache.get("k") == ANSWER


async def test_an_answer_of_an_old_manual_is_never_given_for_the_new_one():
    model = Told("Insert it.")
    async with Rig(model) as rig:
        assert (await rig.ask()).final.cache.answer == "miss"
        rig.source.pages = (*PAGES[:1], PAGES[1].replace("CR2032", "CR2450"))
        rig.library._shelf.drop("td-17")
        await rig.caches.texts.delete("td-17")
        final = (await rig.ask()).final
        assert final.cache.answer == "miss"
        assert len(model.requests) == 2
        assert "CR2450" in model.requests[1].manual


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "How do I clean the pads?"},
        {"language": "fr"},
        {"scenario": "studio"},
        {"history": [HistoryTurn(role="user", content="Hello")]},
        {"history": [HistoryTurn(role="assistant", content="Hello")]},
        {"product_id": "pad-8"},
    ],
)
async def test_each_thing_that_makes_an_answer_asks_the_model_anew(fields):
    model = Told("Insert it.")
    async with Rig(model) as rig:
        await rig.ask()
        await rig.ask(**fields)
        assert len(model.requests) == 2


async def test_who_asks_and_why_does_not_ask_the_model_anew():
    model = Told("Insert it.")
    async with Rig(model) as rig:
        await rig.ask(user_id="a")
        await rig.ask(BATTERY, user_id="b", metadata={"k": "v"}, previous_response_id="r")
        assert len(model.requests) == 1


async def test_a_cached_answer_has_the_items_of_the_first():
    async with Rig(Told(*MARKED)) as rig:
        first, again = (await rig.ask()).final, (await rig.ask()).final
        assert again.cache.answer == "hit"
        assert again.items == first.items
        assert len(first.items) == 2
