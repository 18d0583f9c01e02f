"""What can be done with refused rows: looked at, sent again, removed."""

from __future__ import annotations

from feedback_rig import feedback, poison
from msgspec import structs

from server.feedback.dead_letters import PAGE, Replay, list_letters, purge, readable, replay, show
from server.storage.records import encode_row


async def letters_of(store, *originals):
    for n, original in enumerate(originals):
        await store.put_dead_letter(original, "refused", 1000 + n)
    return await list_letters(store, limit=100)


async def test_lists_by_pages_and_shows_one(store):
    letters = await letters_of(store, b"a", b"b", b"c")
    assert [one.original for one in letters] == [b"a", b"b", b"c"]
    assert await list_letters(store, limit=1, after=letters[0].id) == [letters[1]]
    assert await show(store, letters[2].id) == letters[2]
    assert await show(store, letters[2].id + 1) is None


async def test_replay_stores_what_can_be_stored_now(store):
    good, bad, first = feedback(), feedback(), feedback()
    clash = structs.replace(first, payload_sha256="0" * 64)
    await store.write([first])
    store.fault = poison(bad.event_id)
    originals = [encode_row(row) for row in (good, good, bad, clash)]
    before = await letters_of(store, *originals, b"\xff")
    assert await replay(store) == Replay(
        stored=1, duplicates=1, refused=1, conflicts=1, unreadable=1
    )
    assert await list_letters(store, limit=100) == before[2:]
    assert await store.feedback_of(good.response_id, "acme") == [good]
    store.fault = lambda rows: None
    assert await replay(store, [before[2].id, 999]) == Replay(stored=1)
    assert await list_letters(store, limit=100) == before[3:]


async def test_purge_by_id_or_by_age(store):
    letters = await letters_of(store, b"a", b"b", b"c")
    assert await purge(store, [letters[1].id, 999]) == 1
    assert await purge(store, before_ms=1002) == 1
    assert await purge(store) == 0
    assert await list_letters(store, limit=100) == [letters[2]]


async def test_more_letters_than_a_page(store):
    await letters_of(store, *(encode_row(feedback()) for _ in range(1100)))
    assert (await replay(store)).stored == 1100
    assert await list_letters(store, limit=1) == []


async def test_an_original_is_shown_without_its_controls(store):
    [one, two] = await letters_of(store, '{"a":"\x7f\\u001b[31m é"}'.encode(), b"\x1b]0;x\x07")
    assert "\x1b" not in readable(one) + readable(two)
    assert readable(one).isascii()
    assert readable(two) == "b'\\x1b]0;x\\x07'"


async def test_letters_of_one_tenant_are_found_over_many_pages(store):
    for n in range(1, PAGE + 20):
        tenant = "acme" if n % 100 == 0 else "other"
        await store.put_dead_letter(b'{"tenant": "%s"}' % tenant.encode(), "refused", n)
    await store.put_dead_letter(b"\xff", "unreadable", 0)
    await store.put_dead_letter(b'{"comment": "x"}', "refused", 0)
    found = await list_letters(store, limit=100, tenant="acme")
    assert [one.received_at for one in found] == [100, 200, 300, 400, 500]
    found = await list_letters(store, limit=2, after=found[1].id, tenant="acme")
    assert [one.received_at for one in found] == [300, 400]
    [nobody] = await list_letters(store, limit=100, tenant="")
    assert nobody.original == b'{"comment": "x"}'
    assert await list_letters(store, limit=100, tenant="nope") == []
