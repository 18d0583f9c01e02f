"""The loop of the simulation: time, schedules, places and refusals."""

import asyncio
import os
import subprocess
import sys
import time
from contextvars import Context
from pathlib import Path

import pytest
from explorer import FailingSeedError, simulate
from simulated_loop import START_S, DeadlockError, EndlessError, OutsideWorldError, SimulationError
from simulated_places import PLACE, Place, at


def loop():
    return asyncio.get_running_loop()


def test_an_hour_passes_at_once():
    async def sleep(seed):
        await asyncio.sleep(3600)
        assert 3600 <= loop().time() - START_S < 3601
        assert time.monotonic() == loop().time()

    started = time.perf_counter()
    simulate(sleep, 1)
    assert time.perf_counter() - started < 30


async def rival_tasks(seed):
    """Tasks, threads, timers and locks whose order is nobody's promise."""
    order = []
    lock = asyncio.Lock()

    async def one(number):
        await asyncio.sleep(0.01 * (number % 3))
        async with lock:
            order.append(number)
            await asyncio.to_thread(len, order)
        await asyncio.sleep(0)
        order.append(-number)

    await asyncio.gather(*(one(number) for number in range(10)))
    rival_tasks.order = tuple(order)


def test_one_seed_is_one_schedule_and_seeds_differ():
    def outcome(seed):
        digest = simulate(rival_tasks, seed)
        return digest, rival_tasks.order

    first = [outcome(seed) for seed in range(30)]
    assert first == [outcome(seed) for seed in range(30)]
    assert len(set(first)) > 20
    assert len({order for _, order in first}) > 10


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:]
from explorer import simulate
from test_simulated_answers import storm
from test_simulated_loop import rival_tasks
print([simulate(scenario, seed) for scenario in (rival_tasks, storm) for seed in range(3)])
"""


def test_a_seed_means_the_same_in_every_process():
    folder = Path(__file__).parent
    folders = [folder, folder.parent / "faults", folder.parent / "fakes", folder.parents[1]]

    def digests(hash_seed):
        command = [sys.executable, "-c", SCRIPT, *map(str, folders)]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert digests("1") == digests("2") != ""


def test_callbacks_of_one_step_keep_their_order(explore):
    async def done_callbacks(seed):
        called = []
        future = loop().create_future()
        for number in range(5):
            future.add_done_callback(lambda _, number=number: called.append(number))
        noise = [asyncio.create_task(asyncio.sleep(0)) for _ in range(5)]
        future.set_result(None)
        await asyncio.gather(future, *noise)
        await asyncio.sleep(0.001)
        assert called == list(range(5))

    explore(done_callbacks, 50)


def test_waiting_for_nothing_is_told_with_the_stack():
    async def forgotten(seed):
        async def waits_for_ever():
            await asyncio.Event().wait()

        await asyncio.create_task(waits_for_ever(), name="the-forgotten-one")

    with pytest.raises(DeadlockError, match=r"the-forgotten-one.*waits_for_ever.*wait \("):
        simulate(forgotten, 1)


def test_going_round_for_ever_is_told():
    async def busy(seed):
        while True:  # noqa: ASYNC110 - it never looks at anything
            await asyncio.sleep(0)

    with pytest.raises(EndlessError):
        simulate(busy, 1)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: asyncio.open_connection("127.0.0.1", 9),
        lambda: loop().getaddrinfo("localhost", 80),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.start_server(lambda r, w: None, "127.0.0.1", 0),
    ],
)
def test_the_outside_world_is_refused(reach):
    async def main(seed):
        with pytest.raises(OutsideWorldError):
            await reach()

    simulate(main, 1)


async def beat(beats):
    try:
        while True:
            await asyncio.sleep(1)
            beats.append(loop().time())
    finally:
        beats.append("cleaned up")


def test_a_paused_place_stands_still_and_goes_on():
    async def main(seed):
        place, beats = Place("node"), []
        loop().create_task(beat(beats), context=at(place))
        await asyncio.sleep(3.5)
        loop().stop_place(place)
        before = len(beats)
        await asyncio.sleep(100)
        assert len(beats) == before == 3
        loop().resume_place(place)
        await asyncio.sleep(1.5)
        assert [int(one - START_S) for one in beats[before:]] == [103, 104]

    for seed in range(20):
        simulate(main, seed)


def test_a_killed_place_cleans_nothing_up():
    async def main(seed):
        place, beats = Place("node"), []
        task = loop().create_task(beat(beats), context=at(place))
        await asyncio.sleep(2.5)
        loop().stop_place(place)
        task.cancel()
        await asyncio.sleep(100)
        assert len(beats) == 2

    for seed in range(20):
        simulate(main, seed)


def test_a_task_that_dies_unnoticed_fails_the_run():
    async def main(seed):
        async def die():
            raise ValueError("nobody asks")

        asyncio.create_task(die())  # noqa: RUF006 - that is the mistake
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="nobody asks"):
        simulate(main, 1)


async def lost_update(seed):
    """Two tasks add to one number, with a wait between reading and writing."""
    total = 0

    async def add():
        nonlocal total
        await asyncio.sleep(0.001)
        read = total
        await asyncio.to_thread(str, read)
        total = read + 1

    first = asyncio.create_task(add())
    await asyncio.sleep(0.004)
    await asyncio.gather(first, add())
    assert total == 2


def test_a_race_is_found_and_replayed(explore):
    seed = explore.finds(lost_update, within=50)
    with pytest.raises(AssertionError):
        simulate(lost_update, seed)
    with pytest.raises(FailingSeedError) as failure:
        explore(lost_update, 50)
    assert f"MANICULE_TEST_SEEDS={seed}:{seed + 1} python -m pytest" in str(failure.value)
    assert "test_a_race_is_found_and_replayed" in str(failure.value)


def test_code_stays_at_its_place_whoever_wakes_it():
    async def main(seed):
        seen = []

        async def stay(name, future):
            for _ in range(3):
                await asyncio.sleep(0.01)
                seen.append((name, PLACE.get().name))
            if future is not None:
                future.set_result(None)

        for name in ("one", "two"):
            future = loop().create_future()
            loop().create_task(stay(name, future), context=at(Place(name), Context()))
            await future
            await stay("outside", None)
        assert len(seen) == 12
        assert all(name == place for name, place in seen)

    simulate(main, 1)
