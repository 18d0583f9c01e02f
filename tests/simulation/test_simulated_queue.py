"""The queue in front of the models, under floods, quitters and slow calls."""

import asyncio

from simulated_world import World

from server.answering.admission import Admission, Standing
from server.answering.fair_queue import PRIORITIES
from server.telemetry.metrics import Metrics

STARTS_S = 0.05
"""After a slot is free the most urgent question begins in this time."""

LONGEST_WAIT_S = 60.0
"""Nothing that can be served at all waits longer."""


class Queue:
    """An admission with questions that hold their slot for a while, or give up before."""

    def __init__(self, seed, slots):
        self.world = World(seed)
        self.slots = slots
        self.running = 0
        self.waits = []
        self.admission = Admission(
            slots=slots, max_waiting=1000, clock=self.world.loop.time, metrics=Metrics()
        )
        self._tasks = []

    def ask(self, priority, client, call_s, patience_s=None):
        """A question that waits for a slot and keeps it for `call_s`; returns its task."""
        task = asyncio.create_task(self._question(priority, client, call_s, patience_s))
        self._tasks.append(task)
        return task

    async def _question(self, priority, client, call_s, patience_s):
        entered_at = self.world.loop.time()
        place = self.admission.enter(Standing(client, priority))
        try:
            async with asyncio.timeout(patience_s):
                await place.wait()
        except TimeoutError:
            place.leave()
            return None
        self.waits.append(waited_s := self.world.loop.time() - entered_at)
        self.running += 1
        assert self.running <= self.slots
        try:
            await asyncio.sleep(call_s)
        finally:
            self.running -= 1
            place.leave()
        return waited_s

    async def end(self):
        await asyncio.gather(*self._tasks)
        assert self.running == 0
        slots = [self.admission.enter(Standing()) for _ in range(self.slots)]
        assert not any(place.is_waiting for place in slots), "a slot was lost"
        self.admission.close()


async def flood_of_low(seed):
    """Low questions come as fast as they can just be served; one critical comes among them."""
    queue = Queue(seed, slots=2)
    dice, call_s = queue.world.dice, 0.5
    for number in range(60):
        queue.ask("low", f"client-{number % 7}", call_s)
    await asyncio.sleep(dice.uniform(0, 10))
    waited_s = await queue.ask("critical", "somebody", call_s)
    assert waited_s <= call_s + STARTS_S
    await queue.end()
    assert max(queue.waits) <= LONGEST_WAIT_S


def test_f107_a_critical_question_is_next_whatever_waits(explore):
    explore(flood_of_low)


async def flood_of_urgent(seed):
    """Urgent questions would fill every slot for good; the low ones come in turn all the same."""
    queue = Queue(seed, slots=2)
    dice = queue.world.dice
    low = [queue.ask("low", f"client-{number}", 0.2) for number in range(5)]
    for _ in range(150):
        for _ in range(3):
            queue.ask(dice.choice(PRIORITIES[:2]), "eager", dice.uniform(0.5, 1.0))
        await asyncio.sleep(0.5)
        if all(task.done() for task in low):
            break
    assert all(task.done() and task.result() <= LONGEST_WAIT_S for task in low)
    await queue.end()


def test_f107_a_low_question_is_not_passed_over_for_ever(explore):
    explore(flood_of_urgent, 20)


async def quitters(seed):
    """Many leave while they wait, or just as their turn comes."""
    queue = Queue(seed, slots=3)
    dice = queue.world.dice
    for _ in range(60):
        patience_s = dice.choice((None, 0.0, dice.uniform(0, 3)))
        queue.ask(dice.choice(PRIORITIES), f"client-{dice.randrange(4)}", 0.2, patience_s)
        await asyncio.sleep(dice.choice((0, 0, 0.05)))
    await queue.end()


def test_f75_whoever_gives_up_takes_no_slot_along(explore):
    explore(quitters)


async def two_clients(seed):
    """One client asks 40 questions at once, another one; they take turns."""
    queue = Queue(seed, slots=1)
    for _ in range(40):
        queue.ask("normal", "greedy", 0.2)
    await asyncio.sleep(queue.world.dice.uniform(0, 1))
    assert await queue.ask("normal", "modest", 0.2) <= 2 * 0.2 + STARTS_S
    await queue.end()


def test_f75_clients_take_turns(explore):
    explore(two_clients, 20)
