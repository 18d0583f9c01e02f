"""The common form of results: ratios, refusals, goals, and that what is written is read again."""

import json

import pytest

from benchmarks.arguments import Arguments
from benchmarks.results import Bars, Lines, Measure, Result, read, refused, unless_busy, write
from benchmarks.tables import columns, lines, notes, publish, show, summary


def made(**more) -> Result:
    measures = [Measure("ms", "time", "ms", ratio=True), Measure("rate", "answers")]
    return Result("sample", "A sample", "What?", measures, **more)


def test_a_ratio_is_taken_round_by_round():
    result = made()
    result.add("other", baseline=True, ms=[10, 20, 40])
    ours = result.add("ours", ms=[5, 20, 10])
    ratio = result.ratio(ours, "ms")
    assert (ratio.median, ratio.min, ratio.max) == (0.5, 0.25, 1.0)


def test_a_ratio_of_unequal_rounds_is_that_of_the_medians():
    result = made()
    result.add("other", baseline=True, ms=[10, 20, 30])
    ours = result.add("ours", ms=[5, 15])
    assert result.ratio(ours, "ms").median == 0.5


def test_a_ratio_stays_within_its_group_and_x():
    result = made(x="streams")
    result.add("other", group="one", x=1, baseline=True, ms=10)
    result.add("other", group="one", x=2, baseline=True, ms=20)
    assert result.ratio(result.add("ours", group="one", x=2, ms=5), "ms").median == 0.25
    assert result.ratio(result.add("ours", group="two", x=2, ms=5), "ms") is None


@pytest.mark.parametrize("value", [refused("gone"), None, 0.0])
def test_there_is_no_ratio_to_what_is_not_there(value):
    result = made()
    result.add("other", baseline=True, ms=value)
    assert result.ratio(result.add("ours", ms=5), "ms") is None


def test_a_busy_generator_refuses_its_values():
    assert unless_busy([1.0], 0.8) == [1.0]
    refusal = unless_busy([1.0], 0.93)
    assert refusal.reason == "the load generator was busy for 93% of its core"
    result = made()
    result.add("ours", ms=refusal)
    assert cells(result) == [["ours", "-", "", "", refusal.reason]]


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], []])
def test_what_is_no_number_is_not_taken(value):
    with pytest.raises(ValueError, match="not values"):
        made().add("ours", ms=value)


def test_mistakes_are_told():
    result = made()
    result.add("other", baseline=True, ms=1)
    with pytest.raises(ValueError, match="no such measure: speed"):
        result.add("ours", speed=1)
    with pytest.raises(ValueError, match="second row"):
        result.add("other", ms=1)
    with pytest.raises(ValueError, match="second baseline"):
        result.add("ours", baseline=True, ms=1)


def cells(result):
    return [texts for _, texts in lines(result)]


def test_a_group_has_a_line_of_its_own():
    result = made()
    result.add("ours", group="small", ms=1)
    result.add("ours", group="large", ms=2)
    assert [line[:2] for line in cells(result)] == [
        ["small", ""], ["ours", "1"], ["large", ""], ["ours", "2"],
    ]  # fmt: skip


def full() -> Result:
    result = made(x="streams", notes=["A note."])
    result.add("other", x=1, baseline=True, ms=[10, 12, 14], rate=3)
    result.add("ours", x=1, ms=[5, 6, 7], rate=4, note="all whole")
    result.add("absent", x=1, ms=refused("cannot be installed"))
    result.plots += [Bars("ms", log=True, limit=50), Lines("ms", log_x=True)]
    result.figure("time", "ours", "ms", x=1, ratio=True, at_most=0.6)
    return result


def test_what_is_written_is_read_again(tmp_path):
    result = full()
    path = write(result, tmp_path)
    assert path == tmp_path / "sample.json"
    assert read(path) == result


def test_the_file_holds_medians_ratios_and_reasons_for_other_programs(tmp_path):
    whole = json.loads(write(full(), tmp_path).read_text())
    other, ours, absent = (row["cells"]["ms"] for row in whole["rows"])
    assert other["spread"] == {"median": 12, "min": 10, "max": 14}
    assert other["ratio"] is None
    assert ours["ratio"] == {"median": 0.5, "min": 0.5, "max": 0.5}
    assert (absent["rounds"], absent["refused"]) == ([], "cannot be installed")
    assert whole["conditions"]["cores"] > 0
    assert whole["conditions"]["versions"]["starlette"]


def test_quick_results_never_replace_full_ones(tmp_path):
    assert write(made(quick=True), tmp_path) == tmp_path / "quick" / "sample.json"


def test_the_table_has_medians_spreads_and_ratios():
    result = full()
    assert columns(result) == ["", "streams", "time, ms", "ratio", "answers", "note"]
    assert cells(result) == [
        ["other", "1", "12 (10-14)", "1", "3", ""],
        ["ours", "1", "6 (5-7)", "0.500x", "4", "all whole"],
        ["absent", "1", "-", "", "", "cannot be installed"],
    ]
    assert "Ratios are to other, of the same run." in notes(result)


def test_a_goal_is_judged_by_the_ratio_or_by_the_median():
    result = full()
    result.figure("time", "ours", "ms", x=1, at_most=5)
    result.figure("rate", "ours", "rate", x=1, at_least=4, at_most=9)
    result.figure("just told", "ours", "rate", x=1)
    result.figure("absent", "absent", "ms", x=1, at_most=5)
    result.figure("no such row", "ours", "ms", x=2, at_most=5)
    shown = [summary(result, figure) for figure in result.figures]
    assert shown == [
        ("6 (5-7) ms", "0.500x of other", "at most 0.600x", "held"),
        ("6 (5-7) ms", "0.500x of other", "at most 5 ms", "NOT held"),
        ("4", "1.33x of other", "at least 4 and at most 9", "held"),
        ("4", "1.33x of other", "", ""),
        ("-", "-", "at most 5 ms", "cannot be installed"),
        ("-", "-", "at most 5 ms", "not measured"),
    ]


def test_publishing_prints_one_table_and_writes_it(tmp_path, capsys):
    path = publish(full(), tmp_path)
    printed = capsys.readouterr().out
    assert printed.count("┏") == 1
    assert "cannot be installed" in printed
    assert read(path).seconds >= 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(123456.7, "123,457"), (12.34, "12.3"), (12.0, "12"), (1.234, "1.23"), (1, "1"),
     (0.01234, "0.0123"), (0.11, "0.110"), (0, "0"), (-3.0, "-3"), (100, "100")],
)  # fmt: skip
def test_numbers_have_the_digits_that_mean_something(value, text):
    assert show(value) == text


def test_quick_sizes_are_defaults_only():
    def parse(*given):
        arguments = Arguments("sample", "What it does.")
        arguments.size("--rounds", 31, 3, "rounds")
        arguments.size("--sizes", [10, 100], [10], "sizes")
        options = arguments.parse_args(given)
        return options.rounds, options.sizes

    assert parse() == (31, [10, 100])
    assert parse("--quick") == (3, [10])
    assert parse("--quick", "--rounds", "7") == (7, [10])
