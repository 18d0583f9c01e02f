"""Counts after days were summed up are the same as before, whatever was added in between."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, NOW_MS, judgement

from server.storage import postgres_spans, spans, sqlite_spans
from server.storage.counting import Counting
from server.storage.spans import DONE, SPANS, Days, pieces, span_level
from server.storage.store import Filter
from server.storage.tallies import DIMENSIONS, LEVELLED, merge

TODAY = NOW_MS // DAY_MS
FIRST = (TODAY - TODAY % 16 - 20) * DAY_MS

GROUPS = [
    (),
    ("product_id",),
    ("confidence_bin",),
    ("product_id", "model"),
    ("item_type", "confidence_bin"),
    ("day", "product_id"),
    ("week", "product_id", "model"),
    ("action", "product_id"),
    ("scenario", "arm", "model"),
    ("user_id", "model"),
]

FILTERS = [
    {},
    {"product_id": "p1"},
    {"product_id": "p1", "model": "m0"},
    {"model": "m1", "min_confidence": 0.35},
    {"since": FIRST + 3 * DAY_MS, "until": FIRST + 18 * DAY_MS},
    {"since": FIRST + 5 * DAY_MS + 7, "until": NOW_MS - 5, "item_type": "warning"},
    {"until": FIRST + 12 * DAY_MS + 1000, "arm": "b"},
    {"since": NOW_MS - 1000},
    {"user_id": "u1"},
]

QUESTIONS = [*itertools.product(GROUPS, FILTERS)][::3]


@pytest.fixture(autouse=True)
def summed_though_few(monkeypatch):
    """Tests have few judgements: sum them up all the same, and some spans only."""
    monkeypatch.setattr(spans, "WORTH", 1.2)
    monkeypatch.setattr(sqlite_spans, "LEAST_EVENTS", 5)
    monkeypatch.setattr(postgres_spans, "LEAST_EVENTS", 5)
    monkeypatch.setattr(sqlite_spans, "COMMIT_ROWS", 200)


def some(count, seed, **fixed):
    """Judgements over some weeks, in which a span of each length but the longest is over."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        fields = {
            "response_id": f"r{seed}-{number}",
            "action": dice.choice(("accept", "accept", "reject", "modify", "rate", "dismiss")),
            "received_at": dice.randrange(FIRST, NOW_MS),
            "product_id": dice.choice(("p1", "p2", "", None)),
            "model": dice.choice(("m0", "m1")),
            "scenario": dice.choice(("general", "studio", None)),
            "arm": dice.choice((None, "a", "b")),
            "item_type": dice.choice((None, "warning")),
            "prompt_version": "1",
            "user_id": dice.choice((None, "u1", "u2")),
            "confidence": dice.choice((None, 0.0, 0.3, 0.35, 0.99, 1.0)),
            "weight": dice.choice((0.0, 0.25, 1.0)),
        }
        if fields["action"] == "rate":
            fields["score"] = dice.randint(1, 5)
        made.append(judgement(**(fields | fixed)))
    return made


async def said(store, tenant=""):
    """All answers to the questions."""
    return {
        (by, tuple(fields)): await store.tally(by, Filter(tenant=tenant, **fields))
        for by, fields in QUESTIONS
    }


async def test_counts_are_the_same_before_and_after(store):
    await store.write(some(500, 1))
    await store.write(some(90, 2, tenant="other"))
    before, others = await said(store), await said(store, "other")
    assert await store.sum_up(TODAY) > 20
    assert await store.sum_up(TODAY) == 0
    assert await said(store) == before
    assert await said(store, "other") == others


async def test_a_late_judgement_counts_at_once_and_is_summed_up_later(store):
    await store.write(some(500, 3))
    await store.sum_up(TODAY)
    late = some(40, 4)
    await store.write(late)
    twin = await plain_counts(some(500, 3) + late)
    assert await said(store) == twin
    assert await store.sum_up(TODAY) > 0
    assert await said(store) == twin


async def test_days_that_are_not_over_are_left(store):
    await store.write(some(500, 5))
    before = await said(store)
    await store.sum_up(TODAY - 6)
    assert await said(store) == before
    assert await store.sum_up(TODAY) > 0
    assert await said(store) == before


async def test_sums_stay_when_judgements_are_erased(store):
    await store.write(some(500, 6))
    where = Filter(since=FIRST, until=TODAY * DAY_MS)
    before = await store.tally(("product_id", "model"), where)
    await store.erase_user("u1", now=NOW_MS)
    await store.sum_up(TODAY)
    assert await store.tally(("product_id", "model"), where) == before


async def test_many_nodes_sum_up_and_write_at_once(opened):
    nodes = [await opened() for _ in range(3)]
    rows = some(500, 7)
    await nodes[0].write(rows[:300])
    halves = [rows[300:400], rows[400:]]
    await asyncio.gather(
        *(node.sum_up(TODAY) for node in nodes),
        *(node.write(half) for node, half in zip(nodes, halves, strict=False)),
    )
    twin = await plain_counts(rows)
    assert await said(nodes[0]) == twin
    await nodes[1].sum_up(TODAY)
    assert await said(nodes[2]) == twin


async def test_a_long_range_is_read_from_spans(store):
    await store.write(some(500, 8))
    await store.sum_up(TODAY)
    mark = "?" if hasattr(store, "_reader") else "$"
    counting = Counting(("product_id",), Filter(), mark)
    assert counting.days_queries() is not None
    days = Days(dict.fromkeys(range(200), 1), built(span_level(["product_id"])))
    read = pieces(["product_id"], days, 0, 200, SPANS)
    assert sum(piece.tests[-1].count(",") + 1 for piece in read) <= 12
    for_all = Counting((), Filter(), mark)
    assert for_all.days_queries() is None


def built(level):
    return {
        (level, span, first): span for span in SPANS if span > 1 for first in range(0, 200, span)
    }


def test_a_range_is_covered_once_whatever_was_summed_up():
    dice = random.Random(9)
    kept = ["product_id", "model"]
    level = span_level(kept)
    for _ in range(300):
        known = {day: dice.randint(1, 3) for day in range(90, 400) if dice.random() < 0.9}
        days = Days(known, {})
        made = {
            (level, span, first): days.revision(span, first) + (dice.random() < 0.1)
            for span in SPANS
            for first in range(0, 500, span)
            if dice.random() < 0.7
        }
        days = Days(known, made)
        first, last = dice.choice((None, dice.randint(80, 200))), dice.choice((None, 333))
        read = []
        for piece in pieces(kept, days, first, last, SPANS):
            read += days_of_piece(piece)
        inside = [
            day for day in known if (first is None or day >= first) and (last is None or day < last)
        ]
        assert len(read) == len(set(read))
        assert set(inside) <= set(read)
        outside = set(known) - set(inside)
        assert not outside & set(read)


def days_of_piece(piece):
    text = piece.tests[-1]
    if "BETWEEN" in text:
        low, high = (int(word) for word in text.split() if word.isdigit())
        return list(range(low, high + 1))
    firsts = [int(word) for word in text[text.index("(") + 1 : -1].split(", ")]
    length = int(piece.tests[0].split()[-1]) if piece.spans else 1
    return [day for first in firsts for day in range(first, first + length)]


def test_every_pair_and_every_dimension_has_a_level_of_its_own():
    kept = [(name,) for name in LEVELLED] + list(itertools.combinations(LEVELLED, 2))
    levels = [span_level(names) for names in kept]
    assert len(set(levels)) == len(levels)
    assert DONE not in levels


async def plain_counts(rows):
    """What a plain count over the rows says."""
    found = {}
    for by, fields in QUESTIONS:
        inside = [row for row in rows if passes(row, fields)]
        columns = [[column(row, name) for name in by] for row in inside]
        below = [
            (*values, row.action, row.weight, 1, row.score or 0)
            for values, row in zip(columns, inside, strict=True)
        ]
        found[by, tuple(fields)] = merge(by, (below, []))
    return found


def column(row, name):
    if name in ("day", "week"):
        return row.received_at // DAY_MS
    if name == "confidence_bin":
        return bin_of(row.confidence)
    return getattr(row, name) or ""


def bin_of(confidence):
    return -1 if confidence is None else min(9, int(confidence * 10))


def passes(row, fields):
    if not fields.get("since", 0) <= row.received_at < fields.get("until", NOW_MS):
        return False
    floor = fields.get("min_confidence")
    if floor is not None and bin_of(row.confidence) < bin_of(floor):
        return False
    names = (*DIMENSIONS, "user_id")
    return all(fields[name] == getattr(row, name) for name in names if name in fields)
