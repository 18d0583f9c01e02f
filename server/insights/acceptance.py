"""Tallies to groups: counts, both acceptance rates, the mean score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.insights.intervals import rate, rating
from server.insights.results import Acceptance, Counts, Group
from server.storage.store import Tally

MAX_GROUPS = 1000
"""More are not told apart in one report (a list by user has no end); they stay in `overall`."""

_IN_KEY_ORDER = frozenset({"day", "week", "confidence_bin"})
"""Groups that are steps of a scale stand in its order, others by size."""


def acceptance_of(
    tallies: Sequence[Tally], by: Sequence[str] = (), limit: int = MAX_GROUPS
) -> Acceptance:
    """Return acceptance in all and by group; each tally's key has a value for each name in `by`.

    Groups come largest first, ties by key; groups by day, week or confidence in their own order.
    """
    merged = merge_by_key(tallies)
    largest = sorted(merged, key=lambda tally: (-decided(tally), -tally.rated, tally.key))[:limit]
    if by and by[0] in _IN_KEY_ORDER:
        largest.sort(key=lambda tally: tally.key)
    return Acceptance(
        by=tuple(by),
        overall=group_of(merge(merged)),
        groups=tuple(group_of(tally, by) for tally in largest) if by else (),
        left_off=len(merged) - len(largest) if by else 0,
    )


def group_of(tally: Tally, by: Sequence[str] = ()) -> Group:
    """Return the figures of one tally; an empty value in its key is null (unknown, or none)."""
    return Group(
        key={name: value or None for name, value in zip(by, tally.key, strict=True)} if by else {},
        counts=counts_of(tally),
        acceptance_rate=rate(tally.accepted + tally.modified, decided(tally)),
        accepted_only_rate=rate(tally.accepted, decided(tally)),
        rating=rating(tally.score_sum, tally.rated),
    )


def counts_of(tally: Tally) -> Counts:
    """Return the counts of a tally."""
    return Counts(
        accepted=tally.accepted,
        modified=tally.modified,
        rejected=tally.rejected,
        decided=decided(tally),
        dismissed=tally.dismissed,
        rated=tally.rated,
    )


def decided(tally: Tally) -> float:
    """Return how many judgements decided: accepted, modified or rejected."""
    return tally.accepted + tally.modified + tally.rejected


def merge(tallies: Iterable[Tally], key: tuple[str, ...] = ()) -> Tally:
    """Return the sum of tallies, under `key`."""
    accepted = rejected = modified = dismissed = 0.0
    rated = score_sum = 0
    for tally in tallies:
        accepted += tally.accepted
        rejected += tally.rejected
        modified += tally.modified
        dismissed += tally.dismissed
        rated += tally.rated
        score_sum += tally.score_sum
    return Tally(key, accepted, rejected, modified, dismissed, rated, score_sum)


def merge_by_key(tallies: Iterable[Tally]) -> list[Tally]:
    """Return one tally for each key."""
    by_key: dict[tuple[str, ...], list[Tally]] = {}
    for tally in tallies:
        by_key.setdefault(tally.key, []).append(tally)
    return [merge(same, key) for key, same in by_key.items()]
