"""The suite: every program is in it and explains itself; a failure stops nothing and is told."""

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import __main__ as driver
from benchmarks.__main__ import main, run_all
from benchmarks.report import Outcome, read_outcomes, write_outcomes, write_report
from benchmarks.results import Bars, Lines, Measure, Result, refused, write
from benchmarks.suite import SUITE, Benchmark

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_program_that_publishes_a_result_is_in_the_suite():
    names = {benchmark.name for benchmark in SUITE}
    for path in BENCHMARKS.glob("*.py"):
        if re.search(r"^from benchmarks.tables import .*publish", path.read_text("utf-8"), re.M):
            assert path.stem in names


@pytest.mark.parametrize("name", [benchmark.name for benchmark in SUITE])
def test_every_benchmark_has_help(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_the_driver_explains_itself(option, capsys):
    try:
        assert main([option]) == 0
    except SystemExit as ended:
        assert ended.code == 0
    assert "quick" in capsys.readouterr().out


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nonsense"])
    assert ended.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@dataclass(frozen=True)
class Program(Benchmark):
    """A benchmark whose program is a line."""

    code: str = ""

    def command(self, *, quick):
        return [sys.executable, "-S", "-c", self.code]


def test_one_that_fails_is_told_and_the_others_run(tmp_path, capsys):
    suite = [
        Program("bad", "fails", 1, 1, "print('began'); raise SystemExit('no more disk')"),
        Program("good", "works", 1, 1, f"open({str(tmp_path / 'good.json')!r}, 'w')"),
        Program("idle", "has no data", 1, 1, "print('No data here.')"),
    ]
    (tmp_path / "bad.json").write_text("of an earlier run")
    assert run_all(suite, tmp_path, quick=False) == 1
    assert read_outcomes(tmp_path) == [
        Outcome("bad", "exit status 1: no more disk", failed=True),
        Outcome("good"),
        Outcome("idle", "nothing was measured: No data here."),
    ]
    assert (tmp_path / "bad.log").read_text() == "began\nno more disk\n"
    assert not (tmp_path / "bad.json").exists()
    assert "FAILED bad: exit status 1: no more disk" in capsys.readouterr().out
    assert run_all(suite[1:], tmp_path, quick=False) == 0


def test_one_that_hangs_is_ended(tmp_path):
    class Hanging(Program):
        def limit_s(self, *, quick):
            return 3

    code = "import time\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('ended by itself')"
    assert run_all([Hanging("slow", "hangs", 1, 1, code)], tmp_path, quick=False) == 1
    [outcome] = read_outcomes(tmp_path)
    assert outcome.problem.startswith("ended after")
    assert "ended by itself" in (tmp_path / "slow.log").read_text()


def test_one_that_the_user_stops_is_told_and_the_report_written(tmp_path, monkeypatch):
    def stopped(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run_one", stopped)
    monkeypatch.setattr(driver, "RESULTS", tmp_path)
    assert main(["--only", "markers"]) == driver.INTERRUPTED
    assert "* **markers**: stopped before its end" in (tmp_path / "report.md").read_text()


def result(name: str, **more) -> Result:
    made = Result(name, f"Title of {name}", "What?", [Measure("ms", "time", "ms", True)], **more)
    made.add("other", x=1, baseline=True, ms=[10, 12])
    made.add("ours|mine", x=1, ms=[5, 6])
    made.add("gone", x=1, ms=refused("cannot be installed"))
    made.plots += [Lines("ms"), Bars("ms")]
    made.figure("time", "ours|mine", "ms", x=1, ratio=True, at_most=0.4)
    return made


def test_the_report_reads_from_the_machine_to_the_sections(tmp_path):
    drawn = []
    for name in ("zebra", "search", "markers"):
        write(result(name, x="streams"), tmp_path)
    write_outcomes(tmp_path, [Outcome("outage", "exit status 1: boom", failed=True)])
    path = write_report(tmp_path, lambda result, plot, path: drawn.append(path.name))
    text = path.read_text()
    places = [text.index(part) for part in (
        "# Benchmarks", "3 benchmarks", "starlette ", "## Summary", "## Failed and refused",
        "## markers", "## search", "## zebra",
    )]  # fmt: skip
    assert places == sorted(places)
    figure = "time | 5.50 (5-6) ms | 0.500x of other | at most 0.400x | **NOT held** |"
    assert f"| [markers](#markers) | {figure}" in text
    assert "* **outage**: exit status 1: boom" in text
    assert "* markers, gone at 1 streams: cannot be installed" in text
    assert "| ours/mine | 1 | 5.50 (5-6) | 0.500x |" in text
    assert drawn[:2] == ["markers-1.png", "markers-2.png"]
    assert "](markers-1.png)" in text
    assert "not to be quoted" not in text


def test_the_report_says_that_it_has_no_plots_or_was_made_quickly(tmp_path):
    write(result("markers", x="streams", quick=True), tmp_path)
    text = write_report(tmp_path / "quick", None).read_text()
    assert "matplotlib is not installed" in text
    assert "not to be quoted" in text


def test_a_report_of_nothing_says_so(tmp_path):
    assert "No results here yet." in write_report(tmp_path, None).read_text()
