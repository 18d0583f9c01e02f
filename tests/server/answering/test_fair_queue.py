"""Whose turn it is: classes, clients, and those that have waited too long."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.answering.fair_queue import (
    OVERDUE_S,
    OVERDUE_TURN,
    PRIORITIES,
    FairQueue,
    Waiter,
)


def queue_of(*waiters: tuple[str, str, float]) -> tuple[FairQueue, list[Waiter]]:
    queue = FairQueue()
    made = [Waiter(*each) for each in waiters]
    for waiter in made:
        queue.add(waiter)
    return queue, made


def drained(queue: FairQueue, now: float = 0.0) -> list[Waiter]:
    out = []
    while (waiter := queue.pop(now)) is not None:
        out.append(waiter)
    return out


def test_an_empty_queue_has_nobody():
    assert FairQueue().pop(0.0) is None
    assert len(FairQueue()) == 0


def test_the_more_urgent_class_comes_first_and_each_in_order_of_arrival():
    queue, made = queue_of(
        ("a", "low", 0), ("a", "normal", 1), ("a", "critical", 2), ("a", "high", 3), ("a", "low", 4)
    )
    assert drained(queue) == [made[2], made[3], made[1], made[0], made[4]]


def test_clients_take_turns_whatever_each_has_waiting():
    queue, made = queue_of(*(("many", "normal", 0) for _ in range(5)), ("one", "normal", 1))
    assert [w.client for w in drained(queue)] == ["many", "one", "many", "many", "many", "many"]
    assert made[0].client == "many"


def test_a_client_that_comes_again_and_again_does_not_pass_one_that_waits():
    queue, _ = queue_of(("busy", "normal", 0), ("busy", "normal", 0), ("patient", "normal", 0))
    served = []
    for now in range(4):
        served.append(queue.pop(now).client)
        queue.add(Waiter("busy", "normal", now))
    assert served == ["busy", "patient", "busy", "busy"]


def test_leaving_gives_the_place_to_the_next():
    queue, made = queue_of(("a", "normal", 0), ("b", "normal", 0), ("a", "normal", 0))
    queue.remove(made[0])
    assert list(queue.order()) == [made[2], made[1]]
    with pytest.raises(KeyError):
        queue.remove(made[0])


def serve_flood(flood: str, victim: str, each_s: float) -> float:
    """When one of `victim` is served beside a class that never runs empty, one place free."""
    queue, [waiter] = queue_of(("patient", victim, 0.0))
    now = 0.0
    while True:
        while queue.waiting(flood) < 10:
            queue.add(Waiter("busy", flood, now))
        if queue.pop(now) is waiter:
            return now
        now += each_s


@pytest.mark.parametrize("flood", PRIORITIES[:-1])
@pytest.mark.parametrize("each_s", [0.01, 0.5, 3.0])
def test_f107_low_is_served_within_a_minute_beside_a_flood_that_never_ends(flood, each_s):
    assert serve_flood(flood, "low", each_s) <= 60.0


def test_f107_one_critical_comes_next_behind_any_flood_of_low_however_overdue():
    for already_served in range(2 * OVERDUE_TURN):
        queue, _ = queue_of(*((f"c{number}", "low", 0.0) for number in range(1000)))
        now = 10 * OVERDUE_S
        for _ in range(already_served):
            assert queue.pop(now).priority == "low"
        critical = Waiter("late", "critical", now)
        queue.add(critical)
        assert queue.pop(now) is critical


def test_overdue_classes_share_their_turns_and_the_urgent_keeps_the_others():
    queue, _ = queue_of(
        *((name, name, 0.0) for name in ("high", "normal", "low") for _ in range(100)),
        *(("critical", "critical", 0.0) for _ in range(300)),
    )
    served = Counter(queue.pop(OVERDUE_S).priority for _ in range(12 * OVERDUE_TURN))
    assert served == {"critical": 36, "high": 4, "normal": 4, "low": 4}


def test_nobody_is_overdue_before_the_time():
    queue, _ = queue_of(("a", "low", 0.0), *(("b", "high", 0.0) for _ in range(20)))
    just_before = OVERDUE_S - 0.001
    assert [queue.pop(just_before).priority for _ in range(20)] == ["high"] * 20


clients = st.sampled_from("abcde")
priorities = st.sampled_from(PRIORITIES)


@given(st.lists(st.tuples(clients, priorities), max_size=60))
def test_positions_fall_by_one_with_each_turn(entries):
    queue, _ = queue_of(*((client, priority, 0.0) for client, priority in entries))
    expected = list(queue.order())
    assert len(expected) == len(queue) == len(entries)
    while expected:
        assert queue.pop(0.0) is expected.pop(0)
        assert list(queue.order()) == expected


@given(st.lists(st.tuples(clients, priorities), min_size=1, max_size=60), st.data())
def test_a_position_never_grows_when_somebody_leaves(entries, data):
    queue, made = queue_of(*((client, priority, 0.0) for client, priority in entries))
    before = {waiter: at for at, waiter in enumerate(queue.order())}
    queue.remove(data.draw(st.sampled_from(made)))
    assert all(at <= before[waiter] for at, waiter in enumerate(queue.order()))


@given(st.lists(clients, min_size=1, max_size=60))
def test_while_two_clients_wait_neither_is_served_twice_more_than_the_other(names):
    queue, _ = queue_of(*((name, "normal", 0.0) for name in names))
    left, served = Counter(names), Counter()
    while queue:
        name = queue.pop(0.0).client
        left[name] -= 1
        served[name] += 1
        still = [served[one] for one in left if left[one]]
        assert not still or max(still) - min(still) <= 1


class AnyOrder(RuleBasedStateMachine):
    """Whatever is done to the queue, everybody in it is served once, and nobody else."""

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.now = FairQueue(), 0.0
        self.inside: list[Waiter] = []

    @rule(client=clients, priority=priorities)
    def arrive(self, client, priority):
        waiter = Waiter(client, priority, self.now)
        self.queue.add(waiter)
        self.inside.append(waiter)

    @rule(seconds=st.floats(0, 2 * OVERDUE_S))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def serve(self):
        waiter = self.queue.pop(self.now)
        assert (waiter is None) == (not self.inside)
        if waiter is not None:
            own = [one for one in self.inside if one.client == waiter.client]
            assert waiter is next(one for one in own if one.priority == waiter.priority)
            self.inside.remove(waiter)

    @rule(data=st.data())
    def leave(self, data):
        if self.inside:
            waiter = data.draw(st.sampled_from(self.inside))
            self.queue.remove(waiter)
            self.inside.remove(waiter)

    @invariant()
    def nobody_is_lost(self):
        assert set(self.queue.order()) == set(self.inside)
        assert len(self.queue) == len(self.inside)
        assert sum(self.queue.waiting(one) for one in PRIORITIES) == len(self.inside)


TestAnyOrder = AnyOrder.TestCase
