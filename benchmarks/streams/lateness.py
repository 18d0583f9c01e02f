"""Percentiles of lateness over many streams, each token counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.streams.stream import Stream


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the tokens of a window, in milliseconds; a token is as late as the oldest that came in
    the same read."""

    tokens: int
    reads: int
    p50_ms: float
    p99_ms: float
    most_ms: float


def take_lateness(streams: Iterable[Stream]) -> Lateness | None:
    """Return the lateness of what came since the last call, None when nothing did."""
    late, weights = [], []
    for stream in streams:
        offsets, counts = stream.take_window()
        if offsets:
            late.append(np.array(offsets) - stream.least)
            weights.append(np.array(counts))
    if not late:
        return None
    values, numbers = np.concatenate(late), np.concatenate(weights)
    order = np.argsort(values)
    values, reached = values[order] * 1000, np.cumsum(numbers[order])
    p50, p99 = (
        float(values[min(len(values) - 1, np.searchsorted(reached, share * reached[-1]))])
        for share in (0.5, 0.99)
    )
    return Lateness(int(reached[-1]), len(values), p50, p99, float(values[-1]))
