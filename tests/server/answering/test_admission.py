"""The queue in front of the models: slots, places, what those who wait are told."""

import asyncio
import random

import pytest
from rig import WAIT_S, Rig, Told, kind, until

from protocol.errors import EventError
from server.answering.admission import (
    MAX_RETRY_AFTER_MS,
    Admission,
    Standing,
)
from server.answering.fair_queue import OVERDUE_S, PRIORITIES
from server.telemetry.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def make(clock):
    made = []

    def admission(slots=1, max_waiting=10):
        made.append(Admission(slots=slots, max_waiting=max_waiting, clock=clock, metrics=Metrics()))
        return made[-1]

    yield admission
    for one in made:
        one.close()


def gauge(admission, name, *labels):
    row = admission._metrics._metrics[name]
    return (row.labels(*labels) if labels else row)._value.get()


async def test_a_free_slot_is_given_at_once_and_the_next_waits(make):
    admission = make(slots=2)
    first, second, third = (admission.enter(Standing("a")) for _ in range(3))
    assert not first.is_waiting
    assert not second.is_waiting
    assert third.is_waiting
    await first.wait()
    assert third.position == 1
    assert gauge(admission, "model_calls_running") == 2
    assert gauge(admission, "queue_length", "normal") == 1
    second.leave()
    await third.wait()
    assert gauge(admission, "queue_length", "normal") == 0


async def test_leaving_twice_gives_one_slot_back(make):
    admission = make()
    first, second, third = (admission.enter(Standing("a")) for _ in range(3))
    first.leave()
    first.leave()
    assert not second.is_waiting
    assert third.is_waiting


async def test_leaving_the_queue_frees_the_place_at_once(make):
    admission = make(max_waiting=1)
    running, waiting = admission.enter(Standing("a")), admission.enter(Standing("a"))
    with pytest.raises(EventError):
        admission.enter(Standing("b"))
    waiting.leave()
    third = admission.enter(Standing("b"))
    running.leave()
    assert not third.is_waiting
    await waiting.wait()  # who left does not wait for ever
    assert waiting.granted_at is None


async def test_one_that_is_cancelled_as_its_slot_comes_gives_it_on(make):
    admission = make()
    running, waiting, last = (admission.enter(Standing(name)) for name in "abc")

    async def call():
        try:
            await waiting.wait()
            raise AssertionError("it was cancelled")
        finally:
            waiting.leave()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    running.leave()  # the slot is granted, the task has not run yet
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not last.is_waiting


async def test_past_the_bound_of_its_class_a_question_is_refused_and_told_when_to_return(
    make, clock
):
    admission = make(slots=2, max_waiting=3)
    running = [admission.enter(Standing("a")) for _ in range(2)]
    for place in running:
        clock.now += 4.0
        place.leave()  # they took 4 s and 8 s
    _running = [admission.enter(Standing("a")) for _ in range(2)]
    _waiting = [admission.enter(Standing("a", "low")) for _ in range(3)]
    with pytest.raises(EventError) as caught:
        admission.enter(Standing("b", "low"))
    assert caught.value.code == "overloaded"
    assert caught.value.retry_after_ms == pytest.approx(4 * 6000 / 2, abs=2)
    urgent = admission.enter(Standing("b", "critical"))
    assert urgent.position == 1
    assert admission._metrics._metrics["queue_refused_total"].labels("low")._value.get() == 1


async def test_nobody_is_sent_away_for_longer_than_a_minute(make, clock):
    admission = make(max_waiting=0)
    place = admission.enter(Standing("a"))
    with pytest.raises(EventError) as caught:
        admission.enter(Standing("a"))
    assert 0 < caught.value.retry_after_ms <= 1001  # nothing is known yet
    clock.now += 500
    place.leave()
    admission.enter(Standing("a"))
    with pytest.raises(EventError) as caught:
        admission.enter(Standing("a"))
    assert caught.value.retry_after_ms == MAX_RETRY_AFTER_MS


async def test_positions_are_told_when_they_change_and_only_then(make):
    admission = make()
    running = admission.enter(Standing("a"))
    first, second = admission.enter(Standing("a")), admission.enter(Standing("a"))
    heard = []
    second.listen(heard.append)
    assert heard == [2]
    for _ in range(3):
        admission._tell_positions()  # looks at a queue that has not moved
    assert heard == [2]
    running.leave()
    await until(lambda: heard == [2, 1])
    second.unlisten(heard.append)
    first.leave()
    assert not second.is_waiting
    assert heard == [2, 1]


async def test_a_listener_that_fails_does_not_keep_the_others_from_hearing(make):
    admission = make()
    running = admission.enter(Standing("a"))
    _next, broken, other = (admission.enter(Standing("a")) for _ in range(3))

    def fail(position):
        if position != 2:
            raise RuntimeError("a fault of one answer")

    heard = []
    broken.listen(fail)
    other.listen(heard.append)
    running.leave()
    await until(lambda: heard == [3, 2])


async def test_a_place_is_moved_up_by_a_more_urgent_one_for_the_same_call_never_down(make):
    admission = make()
    running = admission.enter(Standing("a"))
    early, late = admission.enter(Standing("a")), admission.enter(Standing("b", "low"))
    late.press("high")
    late.press("low")
    assert gauge(admission, "queue_length", "low") == 0
    assert gauge(admission, "queue_length", "high") == 1
    running.press("critical")  # nothing to move
    running.leave()
    assert not late.is_waiting
    assert early.is_waiting


async def test_f107_a_critical_one_starts_with_the_next_slot_and_low_within_a_minute(make, clock):
    admission = make(max_waiting=1000)
    running = admission.enter(Standing("flood", "low"))
    flood = [admission.enter(Standing("flood", "low")) for _ in range(999)]
    critical = admission.enter(Standing("late", "critical"))
    clock.now += OVERDUE_S * 2
    running.leave()
    assert not critical.is_waiting
    assert all(place.is_waiting for place in flood)


@pytest.mark.parametrize("seed", range(20))
async def test_no_slot_is_lost_or_given_twice_whatever_comes_and_goes(make, clock, seed):
    dice = random.Random(seed)
    slots, bound = dice.randint(1, 4), dice.randint(0, 6)
    admission = make(slots=slots, max_waiting=bound)
    inside = []
    for _ in range(1000):
        clock.now += dice.choice((0, 0.1, 30))
        what = dice.random()
        if what < 0.5:
            standing = Standing(dice.choice("abc"), dice.choice(PRIORITIES))
            try:
                inside.append(admission.enter(standing))
            except EventError:
                waiting = [one.waiter for one in inside if one.is_waiting]
                assert len([w for w in waiting if w.priority == standing.priority]) >= bound
        elif what < 0.6 and inside:
            dice.choice(inside).press(dice.choice(PRIORITIES))
        elif inside:
            place = inside.pop(dice.randrange(len(inside)))
            place.leave()
            place.leave()
        waiting = [place for place in inside if place.is_waiting]
        assert len(inside) - len(waiting) == min(slots, len(inside))
        assert gauge(admission, "model_calls_running") == len(inside) - len(waiting)
        if dice.random() < 0.1:
            admission._tell_positions()
            assert sorted(place.position for place in waiting) == list(range(1, len(waiting) + 1))
    for place in inside:
        place.leave()
    assert gauge(admission, "model_calls_running") == 0


async def test_a_question_waits_its_turn_and_says_where_it_stands():
    gate = asyncio.Event()
    model = Told("a", gate, "b")
    async with Rig(model, model_concurrency=1) as rig:
        first = rig.start("What is first?")
        await first.until("response.output_text.delta")
        second, third = rig.start("What is second?"), rig.start("What is third?")
        await third.until(lambda e: getattr(e, "stage", "") == "queued")
        assert len(model.requests) == 1
        gate.set()
        for listener in (first, second, third):
            await listener.end()
            assert listener.final.output_text == "ab"
        stages = [e.stage for e in third.events if kind(e) == "response.in_progress"]
        assert stages[-1] == "generating"
        details = [e.detail for e in third.events if getattr(e, "stage", "") == "queued"]
        positions = [detail["queue_position"] for detail in details]
        assert positions == sorted(positions, reverse=True)
        assert positions[0] == 2
        await until(lambda: rig.moved("model_calls_running") == 0)


async def test_identical_questions_wait_in_one_place_and_make_one_call():
    gate = asyncio.Event()
    model = Told(gate, "a")
    async with Rig(model, model_concurrency=1, max_queued=1) as rig:
        first = rig.start("What is first?")
        await until(lambda: model.requests)
        same = [rig.start("What is second?") for _ in range(20)]
        for listener in same:
            await listener.until(lambda e: getattr(e, "stage", "") == "queued")
        same[0].answer.cancel()  # the one that made the place
        await same[0].end()
        gate.set()
        for listener in (first, *same[1:]):
            await listener.end()
            assert listener.final.output_text == "a"
        assert len(model.requests) == 2


async def test_cancelling_in_the_queue_frees_the_place_and_costs_nothing():
    gate = asyncio.Event()
    model = Told(gate, "a")
    async with Rig(model, model_concurrency=1, max_queued=1) as rig:
        first = rig.start("What is first?")
        await until(lambda: model.requests)
        second = rig.start("What is second?")
        await second.until(lambda e: getattr(e, "stage", "") == "queued")
        refused = await rig.ask("What is third?")
        assert refused.final.status == "failed"
        assert refused.final.error.code == "overloaded"
        assert refused.final.error.retry_after_ms > 0
        second.answer.cancel()
        await second.end()
        assert second.final.status == "cancelled"
        assert second.final.cost_usd == 0
        assert second.final.usage.input_tokens == 0
        await until(lambda: rig.moved("queue_length", "normal") == 0)
        fourth = rig.start("What is fourth?")
        await fourth.until(lambda e: getattr(e, "stage", "") == "queued")
        gate.set()
        for listener in (first, fourth):
            await listener.end()
        assert len(model.requests) == 2


async def test_a_kept_answer_passes_the_queue():
    async with Rig(Told("a"), model_concurrency=1) as rig:
        await rig.ask("What is kept?")
        await until(lambda: rig.moved("model_calls_running") == 0)
        place = rig.admission.enter(Standing("somebody else"))
        kept = rig.start("What is kept?")
        async with asyncio.timeout(WAIT_S):
            await kept.end()
        assert kept.final.cache.answer == "hit"
        place.leave()


async def test_going_away_ends_the_calls_that_wait():
    gate = asyncio.Event()
    async with Rig(Told(gate, "a"), model_concurrency=1) as rig:
        first, second = rig.start("What is first?"), rig.start("What is second?")
        await second.until(lambda e: getattr(e, "stage", "") == "queued")
        rig.answering.stop_all()
        for listener in (first, second):
            await listener.end()
            assert listener.final.error.code == "draining"
        await until(lambda: rig.moved("model_calls_running") == 0)


async def test_one_client_has_as_many_answers_as_it_may_over_all_its_sockets():
    gate = asyncio.Event()
    async with Rig(Told(gate, "a"), max_per_client=2) as rig:
        mine = [rig.start(f"What is {n}?", standing=Standing("me")) for n in range(2)]
        with pytest.raises(EventError) as caught:
            rig.start("What is more?", standing=Standing("me"))
        assert caught.value.code == "too_many_responses"
        other = rig.start("What is other?", standing=Standing("you"))
        nobody = [rig.start(f"What is nobody {n}?") for n in range(3)]
        gate.set()
        for listener in (*mine, other, *nobody):
            await listener.end()
        await rig.ask("What is more?", standing=Standing("me"))
        assert not rig.answering._running_of
