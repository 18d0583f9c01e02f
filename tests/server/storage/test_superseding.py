"""The last decision of a person on a thing counts, and only that one; the same on every store."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, NOW_MS, NOW_S, judgement, uuid7

from server.storage.memory_store import MemoryStore
from server.storage.opening import open_store
from server.storage.store import Filter
from server.storage.superseding import LOOK_BACK_MS


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def nodes(request, tmp_path):
    """Two nodes on one store."""
    if request.param == "memory":
        stores = [MemoryStore()] * 2
    else:
        url = f"sqlite:///{tmp_path}/manicule.db"
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
        stores = [open_store(url, now=lambda: NOW_S) for _ in range(2)]
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.aclose()


@pytest.fixture
def store(nodes):
    return nodes[0]


def decision(action, after_ms=0, **fields):
    at = NOW_MS + after_ms
    given = {"user_id": "ann", "event_id": uuid7(at), "received_at": at}
    return judgement(action=action, **(given | fields))


async def sums(store, **where):
    """Accepted, rejected and modified, from the roll-ups and from the rows alike."""
    [rolled] = await store.tally([], Filter(**where))
    found = (rolled.accepted, rolled.rejected, rolled.modified)
    people = await store.tally(["user_id"], Filter(**where))  # which only the rows can tell
    assert found == tuple(
        sum(getattr(one, name) for one in people) for name in ("accepted", "rejected", "modified")
    )
    return found


async def test_who_accepts_and_then_rejects_has_rejected(nodes):
    first, second = decision("accept"), decision("reject", 5000)
    assert await nodes[0].write([first]) == ["inserted"]
    assert await sums(nodes[0]) == (1, 0, 0)
    assert await nodes[1].write([second]) == ["inserted"]
    assert await sums(nodes[0]) == (0, 1, 0)
    kept = await nodes[0].feedback_of("r1")
    assert [(row.action, row.weight) for row in kept] == [("accept", 0), ("reject", 1)]


async def test_the_same_in_one_batch_and_in_any_order(store):
    rows = [decision(action, n) for n, action in enumerate(("accept", "reject", "modify"))]
    await store.write([rows[2], rows[0], rows[1]])
    assert await sums(store) == (0, 0, 1)


async def test_a_decision_that_arrives_late_replaces_no_later_one(store):
    await store.write([decision("reject", 5000)])
    await store.write([decision("accept")])
    assert await sums(store) == (0, 1, 0)


async def test_a_repetition_changes_nothing(store):
    first, second = decision("accept"), decision("reject", 5000)
    await store.write([first, second])
    assert await store.write([first]) == ["duplicate"]
    assert await store.write([second, first]) == ["duplicate", "duplicate"]
    assert await sums(store) == (0, 1, 0)


async def test_a_change_over_midnight_leaves_the_first_day(store):
    await store.write([decision("accept", product_id="p")])
    await store.write([decision("reject", DAY_MS, product_id="p")])
    days = await store.tally(["day"], Filter())
    assert [(one.accepted, one.rejected) for one in days] == [(0, 0), (0, 1)]
    assert await sums(store, product_id="p") == (0, 1, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "ben"},
        {"tenant": "acme"},
        {"response_id": "r2"},
        {"item_id": "i1"},
        {"user_id": None},
    ],
    ids=str,
)
async def test_nobody_else_and_nothing_else_is_replaced(store, other):
    await store.write([decision("accept"), decision("reject", 5000, **other)])
    by_tenant = [await store.tally([], Filter(tenant=tenant)) for tenant in ("", "acme")]
    found = [one for tallies in by_tenant for one in tallies]
    assert (sum(one.accepted for one in found), sum(one.rejected for one in found)) == (1, 1)


async def test_items_are_decided_apart(store):
    await store.write([decision("accept", item_id="i1"), decision("accept", item_id="i2")])
    await store.write([decision("reject", 5000, item_id="i1")])
    assert await sums(store) == (1, 1, 0)


async def test_without_a_user_each_judgement_counts(store):
    await store.write([decision("accept", n, user_id=None) for n in range(3)])
    await store.write([decision("reject", 5000, user_id=None)])
    assert await sums(store) == (3, 1, 0)


async def test_scores_and_dismissals_replace_nothing(store):
    await store.write([decision("accept")])
    await store.write([decision("rate", 1000, score=1), decision("dismiss", 2000)])
    [found] = await store.tally([], Filter())
    assert (found.accepted, found.dismissed, found.rated) == (1, 1, 1)


async def test_what_weighs_nothing_replaces_nothing(store):
    await store.write([decision("accept")])
    await store.write([decision("reject", 5000, weight=0.0)])
    assert await sums(store) == (1, 0, 0)


async def test_a_weight_is_taken_out_as_it_was(store):
    await store.write([decision("accept", weight=0.5), decision("accept", user_id="ben")])
    await store.write([decision("reject", 5000, weight=0.25)])
    assert await sums(store) == (1, 0.25, 0)


async def test_a_decision_long_ago_stays(store):
    early = -LOOK_BACK_MS - DAY_MS
    await store.write([decision("accept", early)])
    await store.write([decision("reject")])
    assert await sums(store) == (1, 1, 0)


async def test_ids_without_a_time_are_replaced_too(store):
    await store.write([decision("accept", event_id="d9428888-122b-41e1-b85c-61cd3cbb3210")])
    await store.write([decision("reject", 5000)])
    assert await sums(store) == (0, 1, 0)


async def test_many_changes_of_mind_add_up_to_the_last_words(nodes):
    dice = random.Random(7)
    rows = [
        decision(
            dice.choice(("accept", "reject", "modify", "dismiss")),
            n * 1000,
            user_id=dice.choice(("ann", "ben", "eve")),
            response_id=f"r{dice.randrange(8)}",
            item_id=dice.choice((None, "i1")),
        )
        for n in range(300)
    ]
    last = {}
    for row in rows:
        if row.action != "dismiss":
            last[row.user_id, row.response_id, row.item_id] = row.action
    dice.shuffle(rows)
    batches = [rows[n : n + 7] for n in range(0, len(rows), 7)]
    for n in range(0, len(batches), 2):
        for node, batch in zip(nodes, batches[n : n + 2], strict=False):
            await node.write(batch)
    actions = list(last.values())
    assert await sums(nodes[0]) == tuple(
        actions.count(action) for action in ("accept", "reject", "modify")
    )


async def test_two_nodes_that_replace_the_same_take_it_out_once(nodes):
    await nodes[0].write([decision("accept")])
    later = [decision("reject", 1000 + n) for n in range(2)]
    await asyncio.gather(*(node.write([row]) for node, row in zip(nodes, later, strict=True)))
    accepted, rejected, _ = await sums(nodes[0])
    assert accepted == 0
    await nodes[0].write([decision("modify", 9000)])
    assert await sums(nodes[0]) == (0, 0, 1)
    assert rejected >= 1
