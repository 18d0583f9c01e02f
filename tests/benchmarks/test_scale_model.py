"""The model of a large fleet, and the slopes of churn, on figures made by hand."""

import pytest

from benchmarks.churn import FILLED_SOCKETS, Churned, question, slope
from benchmarks.results import Measure, Result
from benchmarks.scale_model import (
    BEGIN,
    CONSTANTS,
    END,
    Load,
    dense,
    limits,
    line,
    markdown,
    write_model,
)


def measured(**costs: tuple[float, float]) -> Result:
    """A result whose costs are 1, but for those given for 50 and for 200 words."""
    result = Result("scale_out", "t", "q", [Measure("cost", "cost")])
    idle = [f"idle node to {one} a second" for one in ("log, commands", "cache, commands")]
    held = [f"connections of a node to the {one}" for one in ("log", "cache", "store")]
    for label in (*CONSTANTS, *idle, *held, "idle node to store, transactions a second"):
        for words, cost in zip((50, 200), costs.get(label, (1.0, 1.0)), strict=True):
            result.add(label, group=dense(words), x=1, cost=cost)
    return result


def test_a_cost_is_a_share_for_the_answer_and_one_for_each_word():
    cost = line(measured(**{"node, ms an answer": (7.0, 22.0)}), "node, ms an answer")
    assert cost.fixed == pytest.approx(2.0)
    assert cost.per_word == pytest.approx(0.1)
    assert cost.of(1000) == pytest.approx(102.0)


def test_what_holds_least_is_full_first():
    result = measured(**{"log keeps, KiB an answer": (10.0, 25.6), "log, ms an answer": (1, 4)})
    found = limits(result, Load())
    assert (found[0].part, found[0].what) == ("log", "1.5 GiB")
    # 1.5 GiB hold 61,440 answers of 25.6 KiB, and each is kept for ten minutes
    assert found[0].answers_per_s == pytest.approx(61_440 / 600)
    [thread] = [one for one in found if one.what == "its thread" and one.part == "log"]
    assert thread.answers_per_s == pytest.approx(0.8 / 0.004)


def test_the_model_goes_between_its_marks(tmp_path, monkeypatch):
    doc = tmp_path / "scaling.md"
    doc.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    result = measured()
    monkeypatch.setattr("benchmarks.scale_model.last_result", lambda quick: result)
    write_model(quick=False, doc=doc)
    assert doc.read_text() == f"# Before\n{BEGIN}\n{markdown(result, Load())}\n{END}\nafter\n"


def test_a_line_through_points_with_its_error():
    exact = slope([0, 1, 2, 3], [5, 7, 9, 11])
    assert (exact.rise, exact.error) == (2.0, 0.0)
    rough = slope([0, 1, 2, 3], [0, 1, 0, 1])
    assert rough.rise == pytest.approx(0.2)
    assert rough.error == pytest.approx(0.2828, abs=1e-4)  # sqrt(0.8 / 2 / 5)


def test_churn_is_fitted_to_what_comes_after_memories_are_full():
    seen = Churned()
    for at in range(100):
        seen.seconds.append(at)
        seen.sockets.append(at * FILLED_SOCKETS // 60)
        seen.rss_kib.append(1000 + 10 * min(at, 60))
    assert seen.settled == 60
    assert seen.per_thousand.rise == pytest.approx(0.0)
    for one in (seen.seconds, seen.sockets, seen.rss_kib):
        del one[70:]
    assert seen.per_thousand is None


def test_no_question_is_asked_twice():
    assert len({question(number) for number in range(30_000)}) == 30_000
