"""The load generator: what it makes, what it notes, and when it refuses its own figures."""

import itertools
import json
import subprocess
import sys
import time
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig, Told, scripted, serving

from manicule.errors import CannotConnectError
from manicule.load import Figures, Generator, LoadPlan, arrivals
from manicule.load.figures import Pace, spread
from manicule.load.socket import new_uuid7


def plan_for(url="ws://127.0.0.1:9/ws", **fields):
    fields = {"products": ("td-17",), "questions": ("How do I clean it?",), **fields}
    return LoadPlan(url=url, **fields)


def test_questions_come_at_random_with_the_mean_rate_and_the_same_for_a_seed():
    plan = plan_for(questions_per_s=20, duration_s=100)
    due = list(arrivals(plan, Random(1)))
    assert due == list(arrivals(plan, Random(1)))
    assert due == sorted(due)
    assert due[0] > 0
    assert due[-1] < 100
    assert 1800 < len(due) < 2200
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    beyond_the_mean = sum(gap > 1 / 20 for gap in gaps) / len(gaps)
    assert 0.33 < beyond_the_mean < 0.41  # 1/e of exponential gaps


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"questions_per_s": 0},
        {"duration_s": -1},
        {"feedback_share": 1.5},
        {"questions": ()},
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).rstrip("s")):
        plan_for(**wrong)


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1))
def test_percentiles_are_samples_in_order(samples):
    found = spread(samples)
    values = [found.p50, found.p95, found.p99, found.p999, found.most]
    assert values == sorted(values)
    assert found.most == round(max(samples) * 1000, 2)


def test_without_samples_there_is_no_percentile():
    assert spread([]).p50 is None


def test_lateness_is_against_the_models_own_rate():
    pace = Pace(10)
    for delta, at in (("a b ", 5.0), ("c ", 5.1), ("d ", 5.45), ("e ", 5.3)):
        pace.arrived(delta, at)
    assert [round(late, 3) for late in pace.lateness_s()] == [0, 0, 0.25, 0]
    assert Pace(0).lateness_s() == []


def test_a_generator_that_was_late_itself_refuses_its_figures():
    figures = Figures()
    figures.begin()
    figures.end("completed")
    assert figures.summary(duration_s=10, cpu_s=1).valid
    busy = figures.summary(duration_s=10, cpu_s=9)
    assert not busy.valid
    assert "90%" in busy.reason
    assert not Figures().summary(duration_s=10, cpu_s=1).valid


def test_uuid7_has_its_time_version_and_variant():
    made = new_uuid7(1_790_000_000_000, 2**74 - 1)
    assert (made.version, made.variant) == (7, UUID(int=made.int).variant)
    assert made.int >> 80 == 1_790_000_000_000
    assert new_uuid7(1, 0) < new_uuid7(2, 0)


async def run(url, **fields):
    fields = {"connections": 3, "questions_per_s": 30, "duration_s": 0.5, "drain_s": 20, **fields}
    return await Generator(plan_for(url.replace("http", "ws", 1) + "/ws", **fields)).run()


async def test_every_question_is_answered_and_some_are_judged():
    async with Rig(scripted({"tokens": 5, "rate_per_s": 0})) as rig, serving(rig) as url:
        rig.now = time.time()  # which the ids of judgements hold
        summary = await run(url, feedback_share=1.0)
        assert summary.asked == summary.completed > 3
        assert summary.first_token_ms.number == summary.total_ms.number == summary.asked
        assert summary.feedback_ms.number == summary.asked
        assert summary.errors == {}
        assert summary.unfinished == 0
        assert rig.moved("feedback_total", "accept") == summary.asked
        assert len(rig.models) == 1
        assert rig.moved("answer_cache_total", "hit") == 0


async def test_answers_survive_the_cutting_of_their_sockets():
    steps = [{"text": f"word{number} ", "delay_ms": 20} for number in range(30)]
    async with Rig(scripted(*steps)) as rig, serving(rig) as url:
        summary = await run(url, reconnect_every_s=0.15)
        assert summary.resumed > 0
        assert summary.completed + summary.errors.get("connection_lost", 0) == summary.asked
        assert set(summary.errors) <= {"connection_lost"}  # asked in the moment of the cut


async def test_what_a_server_refuses_is_counted_by_its_code():
    async with Rig(Told("a")) as rig, serving(rig) as url:
        summary = await run(url, products=("nope",))
        assert summary.errors == {"product_not_found": summary.asked}
        assert summary.completed == summary.unfinished == 0


async def test_who_reads_nothing_is_closed_and_counted():
    text = "word " * 200_000
    async with (
        Rig(Told(*[text] * 20), slow_client_s=1, send_buffer_bytes=4096) as rig,
        serving(rig) as url,
    ):
        for duration_s in (4, 40):  # long only where four seconds fill no buffer
            summary = await run(url, slow_readers=1, questions_per_s=0.01, duration_s=duration_s)
            if rig.moved("slow_clients_total"):
                break
        assert rig.moved("slow_clients_total") == 1
        assert summary.slow_closed <= 1  # whose closing the client may not have read


async def test_no_server_is_said_at_once(free_port):
    with pytest.raises(CannotConnectError):
        await run(f"http://127.0.0.1:{free_port}")


def test_the_command_prints_figures_for_programs(server):
    target = server([{"tokens": 3, "rate_per_s": 0}])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "server", "bench", "load", "--json", "--rate", "20"),
            *("--url", target.url.replace("http", "ws", 1) + "/ws"),
            *("--duration", "1", "--connections", "2"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["completed"] == figures["asked"] > 0
    assert figures["valid"] is True
