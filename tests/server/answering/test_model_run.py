"""One model call, read by many."""

import asyncio

import pytest
from rig import WAIT_S, Told, until

from server.answering.admission import Admission, Standing
from server.answering.model_run import ModelRun
from server.llm.chain import Reset
from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError
from server.telemetry.metrics import Metrics

REQUEST = ModelRequest(system="s", manual="", question="q")


def free_place():
    admission = Admission(slots=1, max_waiting=0, clock=lambda: 0.0, metrics=Metrics())
    return admission.enter(Standing())


def run_of(model):
    done = []
    return ModelRun(model.stream(REQUEST), done.append, free_place()), done


async def read_all(run):
    run.join()
    try:
        async with asyncio.timeout(WAIT_S):
            events = []
            await run.read(lambda event: events.append(event) or isinstance(event, Finish))
            return events
    finally:
        run.leave()


async def test_every_reader_sees_everything_whenever_it_joined():
    gate = asyncio.Event()
    model = Told("a", gate, "b")
    run, done = run_of(model)
    early = asyncio.create_task(read_all(run))
    await until(lambda: run.seen)
    late = asyncio.create_task(read_all(run))
    gate.set()
    want = [TextDelta("a"), TextDelta("b"), Finish("stop")]
    assert await early == want
    assert await late == want
    assert await read_all(run) == want  # also after the end
    assert len(model.requests) == 1
    assert done == [run]
    assert run.succeeded


async def test_the_last_reader_to_leave_closes_the_upstream():
    model = Told("a", asyncio.Event())
    run, done = run_of(model)
    run.join()
    run.join()
    await until(lambda: run.seen)
    run.leave()
    assert run.joinable
    assert not model.closed.is_set()
    run.leave()
    assert not run.joinable
    async with asyncio.timeout(WAIT_S):
        await model.closed.wait()
    await until(lambda: done)
    assert not run.succeeded


async def test_a_call_left_before_it_began_is_over_too():
    model = Told("a")
    run, done = run_of(model)
    run.join()
    run.leave()  # no step of the call has run
    await until(lambda: done)
    assert not model.requests
    assert not run.succeeded


async def test_an_error_reaches_every_reader():
    gate = asyncio.Event()
    run, done = run_of(Told("a", gate, UpstreamError("server", "down")))
    readers = [asyncio.create_task(read_all(run)) for _ in range(3)]
    await until(lambda: run.seen)
    gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(one) for one in results] == [UpstreamError] * 3
    assert done == [run]
    assert not run.joinable


async def test_readers_that_have_the_finish_do_not_cut_the_closing_of_the_upstream():
    """A connection is given back after the last event, which may take a moment."""
    gave_back = []

    async def events():
        try:
            yield TextDelta("a")
            yield Finish("stop")
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            gave_back.append(True)

    done = []
    run = ModelRun(events(), done.append, free_place())
    run.join()
    await run.read(lambda event: isinstance(event, Finish))
    run.leave()
    await until(lambda: done)
    assert gave_back == [True]
    assert run.succeeded


async def test_closing_waits_for_the_upstream():
    model = Told("a", asyncio.Event())
    run, done = run_of(model)
    run.join()
    await until(lambda: run.seen)
    await run.aclose()
    assert model.closed.is_set()
    await until(lambda: done)


async def test_what_is_no_upstream_error_reaches_the_readers_as_well():
    run, _ = run_of(Told(RuntimeError("ours")))
    with pytest.raises(RuntimeError, match="ours"):
        await read_all(run)


async def test_a_reader_that_comes_after_a_reset_sees_nothing_of_what_is_void():
    heard, gate = asyncio.Event(), asyncio.Event()
    run, _ = run_of(Told("void", heard, Reset("timeout"), "a", gate, "b"))
    early = asyncio.create_task(read_all(run))
    await until(lambda: run._readers == 1 and run.seen)
    heard.set()
    await until(lambda: len(run.seen) == 3)
    late = asyncio.create_task(read_all(run))
    gate.set()
    assert await late == [TextDelta("a"), TextDelta("b"), Finish("stop")]
    assert (await early)[:2] == [TextDelta("void"), Reset("timeout")]
