"""The policies that the server's shelf is compared with, and the sequences of asks."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cache import POLICIES, bound_hits, ideal_hits, lru_hits, prepared, workloads
from benchmarks.requests import Zipf, conversations, next_asks, single_asks, swept_asks


def test_the_next_ask_of_each():
    assert next_asks([1, 2, 1, 1]) == [2, float("inf"), 3, float("inf")]


def test_a_plain_lru():
    assert lru_hits([1, 2, 1, 3, 2, 1], [1] * 4, 2) == [False, False, True, False, False, False]


def test_belady_keeps_what_is_asked_next():
    asks = [1, 2, 3, 1, 2, 3]
    assert sum(lru_hits(asks, [1] * 4, 2)) == 0
    assert sum(ideal_hits(asks, [1] * 4, 2)) == 2


def best(asks, room):
    """The most hits that manuals of one byte can have, by trying everything."""
    states = {frozenset(): 0}
    for manual in asks:
        following = {}
        for held, hits in states.items():
            if manual in held:
                options = {held: hits + 1}
            elif len(held) < room:
                options = {held | {manual}: hits}
            else:
                options = {held - {out} | {manual}: hits for out in held} | {held: hits}
            for after, count in options.items():
                following[after] = max(following.get(after, 0), count)
        states = following
    return max(states.values())


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 3))
def test_no_policy_does_better_than_belady_nor_belady_than_the_bound(asks, room):
    sizes = [1] * 6
    assert sum(ideal_hits(asks, sizes, room)) == best(asks, room)
    assert best(asks, room) <= sum(bound_hits(asks, sizes, room))


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(6_000, 30_000))
def test_no_policy_passes_the_bound(asks, room):
    sizes = [1000, 2000, 3000, 5000, 5500, 6000]
    most = sum(bound_hits(asks, sizes, room))
    for name in ("plain LRU", "our shelf", "ideal"):
        assert sum(POLICIES[name](asks, sizes, room)) <= most


def test_a_manual_weighs_what_it_is_told_to():
    assert prepared(7, 700_000).size_bytes == 700_000


@pytest.mark.parametrize("name", list(workloads(1)))
def test_a_seed_gives_one_sequence_and_another_another(name):
    one, again, other = (workloads(300)[name](random.Random(seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len(one) == 300
    assert set(one) <= set(range(1000))


def test_zipf_draws_the_first_rank_as_often_as_its_law_says():
    zipf = Zipf(100, 1.0, random.Random(3))
    asks = list(islice(single_asks(zipf), 20_000))
    share = asks.count(max(set(asks), key=asks.count)) / len(asks)
    assert share == pytest.approx(1 / sum(1 / rank for rank in range(1, 101)), rel=0.1)


def test_a_sweep_asks_for_all():
    asks = list(islice(swept_asks(Zipf(10, 1.0, random.Random(3)), 10, 5), 15))
    assert asks[5:] == list(range(10))


def test_conversations_come_back_soon():
    dice = random.Random(3)
    asks = list(islice(conversations(Zipf(1000, 0.1, dice), dice), 3000))
    single = list(islice(single_asks(Zipf(1000, 0.1, random.Random(3))), 3000))
    assert sum(lru_hits(asks, [1] * 1000, 100)) > 3 * sum(lru_hits(single, [1] * 1000, 100))
