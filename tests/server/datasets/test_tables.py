"""Tables: every judgement one record, exact where it can be, harmless in a spreadsheet."""

import csv
import io
import json

import pytest
from hypothesis import given
from judgements import INTERACTIONS, JUDGEMENTS, interaction, judgement

from server.datasets.tables import COLUMNS, CSV_HEADER, csv_row, json_row, neutralise, row_of
from server.storage.store import Judged


def read(*rows: bytes) -> list[dict[str, str]]:
    text = (CSV_HEADER + b"".join(rows)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_judgement_is_one_record_with_its_interaction():
    [row] = read(
        csv_row(Judged(judgement(tags=("wrong", "late"), comment='say "so"'), interaction()))
    )
    assert list(row) == list(COLUMNS)
    assert row["received_at"] == "2026-11-21T10:00:00.000Z"
    assert row["question"] == "How do I descale it?"
    assert row["comment"] == 'say "so"'
    assert json.loads(row["tags"]) == ["wrong", "late"]


def test_who_judged_is_not_in_a_table():
    found = row_of(Judged(judgement(user_id="ann"), interaction(user_id="ann")))
    assert "ann" not in map(str, found)


@given(JUDGEMENTS, INTERACTIONS)
def test_any_judgement_is_exactly_one_record_of_csv(feedback, about):
    [row] = read(csv_row(Judged(feedback, about)))
    assert len(row) == len(COLUMNS)
    assert None not in row
    assert row["comment"] == neutralise(feedback.comment or "")


@given(JUDGEMENTS, INTERACTIONS)
def test_a_json_row_is_exact_and_one_line(feedback, about):
    line = json_row(Judged(feedback, about))
    assert len(line.decode().splitlines()) == 1
    found = dict(zip(COLUMNS, json.loads(line), strict=True))
    assert found["comment"] == feedback.comment
    assert found["question"] == about.question
    for name, value in found.items():
        assert value is None or isinstance(value, COLUMNS[name] | int)


@pytest.mark.parametrize("text", ["", "plain", "a=b", "1 - 2", "'quoted'", "Größe", "a\nb"])
def test_harmless_text_stays_as_it_is(text):
    assert neutralise(text) == text
