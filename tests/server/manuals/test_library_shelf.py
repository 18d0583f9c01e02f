"""What stays on the shelf, and what is trusted."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from server.manuals.documents import ManualText
from server.manuals.prepared import Prepared
from server.manuals.shelf import HALF_LIFE_ASKS, MAX_REMEMBERED, MIN_CANDIDATES, Shelf


@dataclass
class Index:
    size_bytes: int


def prepared(manual_id: str, size: int = 1000) -> Prepared:
    manual = ManualText(manual_id, "text", "sha", "Title", 0.0)
    bare = Prepared(manual, (), Index(0)).size_bytes
    return Prepared(manual, (), Index(size - bare))


def filled(*names: str, max_bytes: int = 10_000):
    shelf = Shelf(max_bytes)
    for name in names:
        shelf.put(prepared(name), "key")
    return shelf


def ask(shelf: Shelf, name: str, size: int = 1000) -> bool:
    """Ask as the library does; True when it was there."""
    if shelf.get(name) is not None:
        return True
    shelf.put(prepared(name, size), "key")
    return False


def test_is_bounded_in_bytes():
    shelf = filled(*"abcdefghij")
    assert (len(shelf), shelf.size_bytes) == (10, 10_000)
    assert shelf.put(prepared("k", 3000), "key") == 3
    assert shelf.size_bytes == 10_000
    assert "k" in shelf


def test_replacing_counts_once():
    shelf = filled("a")
    shelf.put(prepared("a", 4000), "key")
    assert (len(shelf), shelf.size_bytes) == (1, 4000)


def test_the_least_recently_used_of_equals_leaves():
    shelf = filled("a", "b", "c", max_bytes=3000)
    for name in "acb":
        shelf.get(name)
    shelf.put(prepared("d"), "key")
    assert "a" not in shelf


def test_what_is_asked_often_outlives_a_sweep():
    shelf = filled("hot", max_bytes=5000)
    for _ in range(50):
        shelf.get("hot")
    for n in range(100):
        ask(shelf, f"swept-{n}")
    assert "hot" in shelf


def test_what_was_asked_often_long_ago_leaves():
    shelf = filled("hot", *"abcd", max_bytes=5000)
    for _ in range(50):
        shelf.get("hot")
    for _ in range(12 * HALF_LIFE_ASKS * MIN_CANDIDATES):
        shelf.get("d")
    for name in "abcefgh":
        ask(shelf, name)
    assert "hot" not in shelf


def test_what_left_is_known_again():
    """A flood that fills the whole shelf makes a popular manual leave, but not be forgotten."""
    shelf = filled("hot", max_bytes=5000)
    for _ in range(20):
        shelf.get("hot")
    shelf.put(prepared("flood", 5000), "key")
    assert "hot" not in shelf
    ask(shelf, "hot")
    for name in "abcdefghi":
        ask(shelf, name)
    assert "hot" in shelf


def test_those_asked_last_do_not_compete_for_leaving():
    count = 4 * MIN_CANDIDATES
    names = [f"popular-{n}" for n in range(count)]
    shelf = filled(*names, max_bytes=count * 1000)
    for name in names * 5:
        shelf.get(name)
    ask(shelf, "seldom")
    for n in range(count // 4):
        assert ask(shelf, "seldom") or n == 0
        ask(shelf, f"new-{n}")
    assert "seldom" in shelf


def test_asks_are_remembered_within_a_bound():
    shelf = filled(max_bytes=5000)
    for n in range(MAX_REMEMBERED + 10):
        shelf.get(f"unknown-{n}")
    assert len(shelf._asked) == MAX_REMEMBERED


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(600, 6000), st.booleans())),
    st.integers(2000, 9000),
)
def test_the_bound_holds_whatever_is_asked(asks, max_bytes):
    shelf, here = Shelf(max_bytes), {}
    for name, size, dropped in asks:
        was = name in shelf
        assert (shelf.get(name) is not None) is was
        if not was:
            before = len(shelf)
            left = shelf.put(prepared(name, size), "key")
            here[name] = size
            assert (name in shelf) is (size <= max_bytes)
            assert len(shelf) == before - left + (size <= max_bytes)
        if dropped:
            shelf.drop(name)
        assert shelf.size_bytes <= max_bytes
        assert shelf.size_bytes == sum(size for one, size in here.items() if one in shelf)


def test_of_equally_asked_the_large_one_leaves():
    shelf = filled(max_bytes=10_000)
    shelf.put(prepared("small", 1000), "key")
    shelf.put(prepared("large", 8000), "key")
    shelf.put(prepared("new", 2000), "key")
    assert "large" not in shelf
    assert "small" in shelf


def test_what_is_larger_than_the_shelf_is_not_kept():
    shelf = filled("a", max_bytes=3000)
    assert shelf.put(prepared("huge", 3001), "key") == 0
    assert "huge" not in shelf
    assert "a" in shelf


def test_a_change_makes_suspect():
    shelf = filled("a", "b")
    shelf.suspect("a")
    assert shelf.get("a").suspect
    assert not shelf.get("b").suspect
    shelf.suspect(None)
    assert shelf.get("b").suspect


def test_a_change_spoils_the_readings_under_way():
    shelf = filled()
    with shelf.reading("a") as one, shelf.reading("a") as two, shelf.reading("b") as other:
        shelf.suspect("a")
    assert one.spoiled
    assert two.spoiled
    assert not other.spoiled
    with shelf.reading("a") as later:
        pass
    assert not later.spoiled
    with shelf.reading("a") as one:
        shelf.suspect(None)
    assert one.spoiled
