"""Streams and counts of every store of record, against a plain count of the same rows."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import (
    DAY_MS,
    NOW_MS,
    interaction,
    judgement,
    uuid7,
)

from server.storage.store import (
    PAGE_ROWS,
    Filter,
    Tally,
)


async def all_judged(store, where=None, after=""):
    return [one async for one in store.judged(where or Filter(), after)]


async def test_streams_judgements_with_their_interactions(store):
    rows = [judgement(response_id=f"r{n % 3}") for n in range(2 * PAGE_ROWS + 1)]
    answers = [interaction(response_id=f"r{n}") for n in range(2)]
    await store.write([*rows, *answers])
    rows.sort(key=lambda row: row.event_id)
    found = await all_judged(store)
    assert [one.feedback for one in found] == rows
    about = {"r0": answers[0], "r1": answers[1], "r2": None}
    assert all(one.interaction == about[one.feedback.response_id] for one in found)
    half = rows[PAGE_ROWS].event_id
    assert [one.feedback for one in await all_judged(store, after=half)] == rows[PAGE_ROWS + 1 :]


async def test_a_stream_goes_on_while_rows_arrive_and_go(store):
    rows = sorted(
        (
            judgement(user_id="u" if n % 2 else None, response_id=f"r{n}")
            for n in range(3 * PAGE_ROWS)
        ),
        key=lambda row: row.event_id,
    )
    await store.write(rows)
    seen = []
    async for one in store.judged(Filter()):
        seen.append(one.feedback)
        if len(seen) == PAGE_ROWS:
            await store.erase_user("u", now=NOW_MS)
            await store.write([judgement(event_id=uuid7(NOW_MS - DAY_MS))])
    assert seen == rows[:PAGE_ROWS] + [row for row in rows[PAGE_ROWS:] if row.user_id is None]


FILTERS = [
    {"since": NOW_MS},
    {"until": NOW_MS},
    {"since": NOW_MS - DAY_MS, "until": NOW_MS + 1},
    {"product_id": "p1"},
    {"scenario": "studio"},
    {"prompt_version": "2"},
    {"model": "m1"},
    {"arm": "b"},
    {"item_type": "warning"},
    {"user_id": "u1"},
    {"min_confidence": 0.7},
    {"product_id": "p1", "model": "m1", "min_confidence": 0.5, "user_id": "u2"},
]

GROUPS = [
    [],
    ["day"],
    ["week"],
    ["action"],
    ["item_type", "product_id"],
    ["confidence_bin"],
    ["user_id"],
    ["scenario", "prompt_version", "model", "arm", "day"],
]


def many():
    """Judgements over six weeks that differ in all that can be filtered or grouped."""

    def pick(n, *of):
        return of[n % len(of)]

    return [
        judgement(
            response_id=f"r{n}",
            action=pick(n, "accept", "accept", "reject", "modify", "rate", "dismiss"),
            score=n % 5 + 1 if n % 6 == 4 else None,
            received_at=NOW_MS + pick(n, 0, -1, 1) - (n % 43) * DAY_MS + (n * 1_234_567) % DAY_MS,
            product_id=pick(n, "p1", "p2", None),
            scenario=pick(n, "general", "studio"),
            prompt_version=pick(n // 2, "1", "2"),
            model=pick(n // 3, "m1", "m2"),
            arm=pick(n // 5, None, "a", "b"),
            item_type=pick(n // 7, None, "warning", "pro_tip"),
            user_id=pick(n // 4, "u1", "u2", None),
            confidence=pick(n, None, *(tenth / 10 for tenth in range(11)), 0.75, 0.05),
            weight=pick(n, 1.0, 0.5),
        )
        for n in range(600)
    ]


def passes(row, where, *, exact):
    if where.since is not None and row.received_at < where.since:
        return False
    if where.until is not None and row.received_at >= where.until:
        return False
    if where.min_confidence is not None:
        if row.confidence is None:
            return False
        least = where.min_confidence if exact else int(where.min_confidence * 10) / 10
        if row.confidence < least:
            return False
    names = ("product_id", "scenario", "prompt_version", "model", "arm", "item_type", "user_id")
    return all(getattr(where, n) in (None, getattr(row, n)) for n in names)


def group_of(row, name):
    at = datetime.fromtimestamp(row.received_at / 1000, UTC)
    if name == "day":
        return at.strftime("%Y-%m-%d")
    if name == "week":
        return at.strftime("%G-W%V")
    if name == "confidence_bin":
        return "" if row.confidence is None else f"{min(0.9, int(row.confidence * 10) / 10):.1f}"
    return getattr(row, name) or ""


def counted(rows, by):
    names = {"accept": "accepted", "reject": "rejected", "modify": "modified"}
    groups = {}
    for row in rows:
        group = groups.setdefault(tuple(group_of(row, name) for name in by), {})
        if row.action == "rate":
            group["rated"] = group.get("rated", 0) + 1
            group["score_sum"] = group.get("score_sum", 0) + row.score
        else:
            name = names.get(row.action, "dismissed")
            group[name] = group.get(name, 0) + row.weight
    return [Tally(key, **group) for key, group in sorted(groups.items())]


async def test_counts_what_a_plain_count_counts(store):
    rows = many()
    await store.write(rows[:300])
    await store.write(rows[200:])
    for by in GROUPS:
        assert await store.tally(by, Filter()) == counted(rows, by), by
    for fields in FILTERS:
        where = Filter(**fields)
        inside = [row for row in rows if passes(row, where, exact=False)]
        for by in GROUPS:
            assert await store.tally(by, where) == counted(inside, by), (by, fields)


async def test_streams_what_a_filter_says(store):
    rows = sorted(many(), key=lambda row: row.event_id)
    await store.write(rows)
    for fields in FILTERS:
        where = Filter(**fields)
        inside = [row for row in rows if passes(row, where, exact=True)]
        assert inside
        assert [one.feedback for one in await all_judged(store, where)] == inside, fields


@given(
    times=st.lists(st.integers(0, 4 * DAY_MS), max_size=8),
    since=st.none() | st.integers(0, 4 * DAY_MS),
    until=st.none() | st.integers(0, 4 * DAY_MS),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_counts_parts_of_days(store, times, since, until):
    tenant = uuid7()
    rows = [judgement(tenant=tenant, received_at=time) for time in times]
    await store.write(rows)
    where = Filter(tenant=tenant, since=since, until=until)
    inside = [row for row in rows if passes(row, where, exact=True)]
    assert await store.tally(["day"], where) == counted(inside, ["day"])


async def test_refuses_to_group_by_what_there_is_not(store):
    with pytest.raises(KeyError):
        await store.tally(["1; DROP TABLE feedback"], Filter())
