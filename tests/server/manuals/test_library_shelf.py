"""What stays on the shelf, and what is trusted."""

from __future__ import annotations

from dataclasses import dataclass

from server.manuals.documents import ManualText
from server.manuals.prepared import Prepared
from server.manuals.shelf import HALF_LIFE_S, Shelf


@dataclass
class Index:
    size_bytes: int


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def prepared(manual_id: str, size: int = 1000) -> Prepared:
    manual = ManualText(manual_id, "text", "sha", "Title", 0.0)
    bare = Prepared(manual, (), Index(0)).size_bytes
    return Prepared(manual, (), Index(size - bare))


def filled(*names: str, max_bytes: int = 10_000):
    clock = Clock()
    shelf = Shelf(max_bytes, clock)
    for name in names:
        shelf.put(prepared(name), "key")
    return shelf, clock


def test_is_bounded_in_bytes():
    shelf, _ = filled(*"abcdefghij")
    assert (len(shelf), shelf.size_bytes) == (10, 10_000)
    assert shelf.put(prepared("k", 3000), "key") == 3
    assert shelf.size_bytes == 10_000
    assert "k" in shelf


def test_replacing_counts_once():
    shelf, _ = filled("a")
    shelf.put(prepared("a", 4000), "key")
    assert (len(shelf), shelf.size_bytes) == (1, 4000)


def test_the_least_recently_used_of_equals_leaves():
    shelf, _ = filled("a", "b", "c", max_bytes=3000)
    for name in "acb":
        shelf.get(name)
    shelf.put(prepared("d"), "key")
    assert "a" not in shelf


def test_what_is_asked_often_outlives_a_sweep():
    shelf, clock = filled("hot", max_bytes=5000)
    for _ in range(50):
        shelf.get("hot")
    for n in range(100):
        clock.now += 1
        shelf.put(prepared(f"swept-{n}"), "key")
    assert "hot" in shelf


def test_what_was_asked_often_long_ago_leaves():
    shelf, clock = filled("hot", max_bytes=5000)
    for _ in range(50):
        shelf.get("hot")
    clock.now += 12 * HALF_LIFE_S
    for n in range(5):
        shelf.put(prepared(f"new-{n}"), "key")
    assert "hot" not in shelf


def test_of_equally_asked_the_large_one_leaves():
    shelf, _ = filled(max_bytes=10_000)
    shelf.put(prepared("small", 1000), "key")
    shelf.put(prepared("large", 8000), "key")
    shelf.put(prepared("new", 2000), "key")
    assert "large" not in shelf
    assert "small" in shelf


def test_what_is_larger_than_the_shelf_is_not_kept():
    shelf, _ = filled("a", max_bytes=3000)
    assert shelf.put(prepared("huge", 3001), "key") == 0
    assert "huge" not in shelf
    assert "a" in shelf


def test_a_change_makes_suspect():
    shelf, _ = filled("a", "b")
    shelf.suspect("a")
    assert shelf.get("a").suspect
    assert not shelf.get("b").suspect
    shelf.suspect(None)
    assert shelf.get("b").suspect


def test_a_change_spoils_the_readings_under_way():
    shelf, _ = filled()
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
