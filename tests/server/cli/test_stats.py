"""`manicule stats` against a real store."""

import asyncio
import io
import json
import re

import pytest
from filled_store import fill, judged
from judgements import judgement, uuid7
from rich.console import Console
from typer.testing import CliRunner

from server.cli.app import app
from server.cli.charts import bar, sparkline
from server.cli.stats import StatsView
from server.insights.acceptance import acceptance_of
from server.storage.store import Tally

MARCH = ("--since", "2025-03-10", "--until", "2025-03-31")
HOSTILE = "[red]x\x1b[2J\u202ey"


def rows():
    """Three weeks: 24 accepted, 6 modified, 10 rejected, 21 rated, 1 dismissed of od-12; 3 of es-8.

    Decisions about od-12 by week: 20, 13 and 7.
    """
    actions = ["accept"] * 24 + ["modify"] * 6 + ["reject"] * 10 + ["rate"] * 21 + ["dismiss"]
    made = [
        row
        for number, action in enumerate(actions)
        for row in judged(number, action, day=0 if number >= 34 else number % 21, confidence=0.75)
    ]
    for number in range(62, 65):
        made += judged(number, "accept", product_id="es-8", model=HOSTILE, user_id="u2")
    return made


@pytest.fixture
async def filled(tmp_path):
    await fill(tmp_path, rows())


@pytest.fixture
def stats(manicule, filled):
    async def run(*words, **extra):
        done = await manicule("stats", *words, **extra)
        assert (done.code, done.err) == (0, "")
        return done.out

    return run


async def test_figures_come_with_intervals_or_reasons(stats):
    out = await stats("--by", "product_id", *MARCH)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "Decided 43" in lines
    assert any(line.startswith("accepted 27 █") for line in lines)
    assert "Dismissed 1 (decides nothing)" in lines
    assert "Acceptance 76.7% (62.3 to 86.8%) accepted or modified" in lines
    assert "As it stood 62.8% (47.9 to 75.6%) accepted only" in lines
    assert any(line.startswith("Rating 4.00 (") and line.endswith("of 21") for line in lines)
    assert "od-12 40 24/6/10 75.0% (59.8 to 85.8%) 4.00 of 21" in lines
    assert "es-8 3 3/0/0 too few decided events" in lines
    assert lines.index("By day, 2025-03-10 to 2025-03-30 (UTC)") > 0


async def test_the_trend_is_drawn_by_week(stats):
    out = await stats("--every", "week", *MARCH, "--product", "od-12")
    assert "decided     █▆▄  0 to 20" in out
    weeks = re.findall(r"^(2025-03-\d\d) +7 +(\d+)  █", out, re.MULTILINE)
    assert weeks == [("2025-03-10", "20"), ("2025-03-17", "13"), ("2025-03-24", "7")]
    assert "Direction " in out


async def test_json_says_the_same_and_filters_hold(stats):
    everything, of_one, unsure = await asyncio.gather(
        stats("--json", "--by", "product_id,action", *MARCH),
        stats("--json", "--user", "u2"),
        stats("--json", "--min-confidence", "0.7", *MARCH),
    )
    found = json.loads(everything)
    assert found["acceptance"]["by"] == ["product_id", "action"]
    assert found["acceptance"]["overall"]["counts"]["decided"] == 43
    groups = {tuple(each["key"].values()): each for each in found["acceptance"]["groups"]}
    assert groups["od-12", "reject"]["counts"]["rejected"] == 10
    assert len(found["trend"]["points"]) == 21
    theirs = json.loads(of_one)["acceptance"]["overall"]
    assert theirs["counts"]["accepted"] == 3
    assert theirs["acceptance_rate"]["value"] is None
    assert "too few" in theirs["acceptance_rate"]["reason"]
    assert json.loads(unsure)["acceptance"]["overall"]["counts"]["decided"] == 40


async def test_a_tenant_sees_its_own(stats, tmp_path):
    await fill(tmp_path, [judgement(tenant="acme", event_id=uuid7(number=900), response_id="a")])
    of_tenant, of_none = await asyncio.gather(stats("--json", "--tenant", "acme"), stats("--json"))
    assert json.loads(of_tenant)["acceptance"]["overall"]["counts"]["decided"] == 1
    assert json.loads(of_none)["acceptance"]["overall"]["counts"]["decided"] == 43


async def test_no_judgements_are_no_numbers(stats):
    out = await stats("--since", "0d")
    assert out.startswith("No judgements match.")
    assert "0 of at least 20" in out


async def test_f103_hostile_names_steer_no_terminal(stats):
    out = await stats("--by", "model", *MARCH, FORCE_COLOR="1", NO_COLOR="1")
    assert "[red]x\N{REPLACEMENT CHARACTER}[2Jy" in out
    assert "\u202e" not in out
    assert not re.search(r"\x1b\[(?!0m|1m|2m)", out), "bold and dim only"


async def test_a_terminal_without_unicode_gets_plain_charts(stats):
    out = await stats(*MARCH, PYTHONIOENCODING="ascii")
    assert re.search(r"^  accepted +27  #+$", out, re.MULTILINE)
    assert re.search(r"^acceptance  \?{21}  0 to 100 %$", out, re.MULTILINE)


async def test_a_trend_has_a_longest_range(manicule, filled):
    done = await manicule("stats", "--since", "1970-01-01")
    assert (done.code, done.out) == (2, "")
    assert "--since: a trend covers 1 to 3660 days" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "colour"), "--by: no field 'colour'. There are day, week"),
        (("--by", "day,week", "--by", "model,arm"), "at most 3"),
        (("--every", "month"), "There are day and week"),
        (("--since", "yesterday"), "Write 2026-11-21"),
        (("--since", "2025-03-02", "--until", "2025-03-01"), "--until: is not after --since"),
        (("--min-confidence", "nan"), "from 0 to 1"),
    ],
)
def test_what_cannot_be_asked_is_a_line_that_teaches(words, said):
    done = CliRunner().invoke(app, ["stats", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_sparkline_tells_none_nothing_little_and_most_apart():
    assert sparkline([None, 0, 1, 50, 100], 100) == "·▁▂▅█"
    assert sparkline([None, 0, 1, 100], 100, ascii_only=True) == "?_.#"
    assert sparkline([0, 0], 0) == "▁▁"


def test_a_bar_is_as_long_as_its_share_and_never_longer():
    assert bar(0, 10, 8) == ""
    assert bar(10, 10, 8) == "█" * 8
    assert bar(20, 10, 8) == "█" * 8
    assert bar(5, 10, 9) == "████▌"
    assert bar(0.001, 10, 8) == "▏"
    assert bar(5, 10, 8, ascii_only=True) == "####"
    assert bar(1, 0, 8) == ""


def test_a_terminal_of_80_columns_cuts_no_figure():
    by = ("product_id", "model")
    keys = [("roland-td-17-drum-module", "gemini-2.5-flash"), ("a", "extractive")]
    tallies = [Tally(keys[0], 170, 79, 91, rated=84, score_sum=250), Tally(keys[1], 3)]
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    StatsView(console).show_groups(acceptance_of(tallies, by))
    shown = console.export_text()
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert re.search(r"340 +170/91/79 +76\.8% \(72\.0 to 80\.9%\) +2\.98 of 84", shown)
    assert re.search(r"3 +3/0/0 +too few decided events", shown)
