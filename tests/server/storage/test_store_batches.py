"""What a batch becomes before it reaches a store: its order, its keys, its sums."""

from __future__ import annotations

import random
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
from judgements import DAY_MS, JUDGEMENTS, NOW_MS, interaction, judgement

from server.storage.batches import Batch
from server.storage.columns import confidence_bin
from server.storage.sqlite_rows import Insert
from server.storage.store import RowRefusedError
from server.storage.tallies import ALL_APART, ROLL_UP_COLUMNS, TOGETHER, level_of, roll_ups


def test_all_writers_insert_in_one_order():
    rows = [judgement(tenant=str(n % 3)) for n in range(50)]
    answers = [interaction(response_id=f"r{n}") for n in range(50)]
    given_rows = [*rows, *answers, *rows]
    orders = set()
    for seed in range(5):
        random.Random(seed).shuffle(given_rows)
        batch = Batch(given_rows)
        assert list(batch.feedback) == sorted(batch.feedback)
        assert list(batch.interactions) == sorted(batch.interactions)
        orders.add((tuple(batch.feedback), tuple(batch.interactions)))
    assert len(orders) == 1


@given(st.lists(JUDGEMENTS, max_size=20), st.randoms())
def test_all_writers_add_to_roll_ups_in_one_order(rows, dice):
    keys = [values[:3] for values in roll_ups(rows)]
    assert keys == sorted(set(keys))
    dice.shuffle(rows)
    assert [values[:3] for values in roll_ups(rows)] == keys


@given(st.lists(JUDGEMENTS, max_size=20))
def test_each_level_sums_every_row_once(rows):
    events = ROLL_UP_COLUMNS.index("events")
    for level in range(TOGETHER, ALL_APART + 1):
        assert sum(one[events] for one in roll_ups(rows) if one[0] == level) == len(rows)


def test_a_question_reads_the_coarsest_level_that_can_tell():
    assert level_of([]) == level_of(["day", "action", "week"]) == TOGETHER
    assert level_of(["day", "item_type"]) == 1
    assert level_of(["confidence_bin", "confidence_bin"]) == ALL_APART - 1
    assert level_of(["item_type", "arm"]) == ALL_APART


def test_a_day_holds_few_coarse_rows():
    dice = random.Random(3)
    rows = [
        judgement(
            received_at=NOW_MS - NOW_MS % DAY_MS + dice.randrange(DAY_MS),
            product_id=f"p{dice.randrange(200)}",
            model=f"m{dice.randrange(3)}",
            confidence=dice.random(),
        )
        for _ in range(5000)
    ]
    made = roll_ups(rows)
    coarse = [one for one in made if one[0] != ALL_APART]
    assert len(coarse) < 230 < 2000 < len(made)


@pytest.mark.parametrize(
    ("confidence", "tenth"), [(None, -1), (0.0, 0), (0.0999, 0), (0.7, 7), (0.999, 9), (1.0, 9)]
)
def test_a_confidence_falls_into_its_tenth(confidence, tenth):
    assert confidence_bin(confidence) == tenth


def test_every_tenth_begins_its_bin():
    assert [confidence_bin(n / 10) for n in range(11)] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), float("inf")])
def test_refuses_what_is_no_confidence(confidence):
    with pytest.raises(RowRefusedError):
        confidence_bin(confidence)


def test_large_statements_tell_the_new_rows_from_those_there_were():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n >= 0))")
    insert = Insert("t", ("id", "n"))
    there = [(number, 0) for number in (0, 5, 130, 299)]
    assert insert.new(connection, there) == [True] * 4
    told = insert.new(connection, [(number, 1) for number in range(300)])
    assert [number for number, is_new in enumerate(told) if not is_new] == [0, 5, 130, 299]
    stored = connection.execute("SELECT id, n FROM t ORDER BY id").fetchall()
    assert stored == [(number, 0 if (number, 0) in there else 1) for number in range(300)]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        insert.new(connection, [(number, 400 - number) for number in range(300, 500)])


def test_large_statements_add_to_the_rows_there_were():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    insert = Insert("t", ("id", "n"), "(id) DO UPDATE SET n = n + excluded.n")
    for count in (1, 15, 16, 17, 127, 129, 300):
        insert.merge(connection, [(number, 1) for number in range(count)])
    insert.merge(connection, [])
    [(total, most)] = connection.execute("SELECT SUM(n), MAX(n) FROM t")
    assert (total, most) == (1 + 15 + 16 + 17 + 127 + 129 + 300, 7)
