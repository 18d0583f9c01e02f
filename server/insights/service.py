"""Statistics from the store: what the REST calls and `manicule stats` ask for.

All raise what the store raises (`StoreUnavailableError`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from server.insights.acceptance import acceptance_of
from server.insights.results import Acceptance, Trend, UserStats
from server.insights.trends import Every, day_of, start_of, trend_of
from server.storage.store import Filter, GroupBy, Store

DEFAULT_DAYS = 30
"""What a trend covers when no start is asked for, the present day included."""


async def acceptance(store: Store, where: Filter, by: Sequence[GroupBy] = ()) -> Acceptance:
    """Return acceptance in all and by group."""
    return acceptance_of(await store.tally(by, where), by)


async def by_type(store: Store, where: Filter) -> Acceptance:
    """Return acceptance by the type of item judged; the null type is the whole answer."""
    return await acceptance(store, where, ("item_type",))


async def trends(store: Store, where: Filter, *, now: int, every: Every = "day") -> Trend:
    """Return acceptance by UTC day or week, up to the day of `now` or the one before `until`.

    `since` and `until` are widened to whole days, so that roll-ups can answer. Raises `ValueError`
    for a range that is empty or too long.
    """
    last = day_of(now if where.until is None else where.until - 1)
    default = last - timedelta(days=DEFAULT_DAYS - 1)
    first = default if where.since is None else day_of(where.since)
    whole = replace(where, since=start_of(first), until=start_of(last + timedelta(days=1)))
    if first > last:
        raise ValueError("the range ends before it starts")
    return trend_of(await store.tally(("day",), whole), first, last, every)


async def user_stats(store: Store, user_id: str, where: Filter, *, now: int) -> UserStats:
    """Return one person's judgements; of somebody unknown they are zeros and reasons."""
    theirs = replace(where, user_id=user_id)
    both = await store.tally(("item_type", "product_id"), theirs)  # reads the judgements once
    types = acceptance_of([replace(one, key=one.key[:1]) for one in both], ("item_type",))
    products = acceptance_of([replace(one, key=one.key[1:]) for one in both], ("product_id",))
    return UserStats(
        user_id=user_id,
        overall=types.overall,
        by_type=types.groups,
        by_product=products.groups,
        trend=await trends(store, theirs, now=now),
    )
