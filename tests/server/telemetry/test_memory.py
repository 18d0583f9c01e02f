"""When memory counts as short, and what is read to know it."""

import resource

import pytest

from server.telemetry import memory
from server.telemetry.memory import Mark, MemoryGuard, find_marks, give_back, resident_bytes

MIB = 2**20


class World:
    """Marks and a clock that the test moves."""

    def __init__(self):
        self.now = 0.0
        self.used = {"one": 0, "other": 0}
        self.reads = 0
        marks = [Mark(name, lambda name=name: self.read(name), lambda: 100) for name in self.used]
        self.guard = MemoryGuard(marks, lambda: self.now)

    def read(self, name):
        self.reads += 1
        return self.used[name]

    def is_short(self, **used):
        self.used.update(used)
        self.now += 2 * memory.LOOK_S
        return self.guard.is_short()


def test_short_at_the_mark_until_it_is_calm():
    world = World()
    assert not world.is_short(one=99)
    assert world.is_short(one=100)
    assert world.guard.share == 1
    assert world.guard.nearest == "one"
    assert world.is_short(one=95)
    assert not world.is_short(one=94)
    assert not world.is_short(one=99)


def test_the_nearest_mark_counts():
    world = World()
    assert world.is_short(one=10, other=120)
    assert world.guard.nearest == "other"
    assert world.guard.share == pytest.approx(1.2)


def test_many_questions_cost_one_look():
    world = World()
    for _ in range(1000):
        world.guard.is_short()
    assert world.reads == 2


def test_without_marks_or_readings_nothing_is_short():
    assert not MemoryGuard().is_short()
    unknown = MemoryGuard([Mark("x", lambda: None, lambda: 1), Mark("y", lambda: 1, lambda: None)])
    assert not unknown.is_short()
    assert unknown.share == 0


def shares(cgroup, high_water=0):
    return {mark.name: mark.share() for mark in find_marks(high_water, cgroup)}


def test_the_operators_mark_is_over_resident_memory(tmp_path):
    used = resident_bytes()
    assert 10 * MIB < used < 10_000 * MIB
    assert shares(tmp_path, used * 2)["resident"] == pytest.approx(0.5, rel=0.2)
    assert "resident" not in shares(tmp_path)


def test_of_a_container_anonymous_memory_counts(tmp_path):
    (tmp_path / "memory.max").write_text(f"{1000 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {450 * MIB}\nfile {900 * MIB}\n")
    assert shares(tmp_path)["container"] == pytest.approx(0.5)
    (tmp_path / "memory.max").write_text("max\n")
    assert shares(tmp_path)["container"] == 0
    (tmp_path / "memory.max").write_text(f"{1000 * MIB}\n")
    (tmp_path / "memory.stat").write_text("file 1\n")
    assert shares(tmp_path)["container"] == 0


def test_the_process_own_limit_counts(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    high = 2**40
    try:
        resource.setrlimit(resource.RLIMIT_AS, (high, before[1]))
        assert 0 < shares(tmp_path)["address_space"] < 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert shares(tmp_path)["address_space"] == 0


def test_giving_back_is_harmless():
    give_back()
    assert resident_bytes() > 0
