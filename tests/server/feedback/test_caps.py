"""One principal's judgements weigh no more in a day than the cap."""

from __future__ import annotations

from server.feedback.caps import DAY_MS, DailyCap

NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def test_f104_ten_thousand_accepts_weigh_no_more_than_the_cap():
    cap = DailyCap(50)
    weights = [cap.weight("mallory", NOON_MS + n) for n in range(10_000)]
    assert sum(weights) == 50
    assert weights[:50] == [1.0] * 50
    assert cap.weight("ann", NOON_MS) == 1.0


def test_a_new_day_starts_anew():
    cap = DailyCap(1)
    assert [cap.weight("ann", NOON_MS) for _ in range(2)] == [1.0, 0.0]
    assert cap.weight("ann", NOON_MS + DAY_MS) == 1.0


def test_memory_is_bounded_and_the_busy_are_kept():
    cap = DailyCap(1, max_principals=10)
    for n in range(100):
        cap.weight("mallory", NOON_MS)
        cap.weight(f"user-{n}", NOON_MS)
    assert len(cap._counts) == 10
    assert cap.weight("mallory", NOON_MS) == 0.0
