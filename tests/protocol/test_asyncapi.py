"""docs/protocol.md and the message types say the same."""

import re
from pathlib import Path

import msgspec
import pytest

from protocol.asyncapi import SERVER_EVENTS, build_document
from protocol.errors import ERRORS, CloseCode
from protocol.events import FinalResponse
from protocol.messages import CLIENT_EVENTS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
REPLIES = {"session.updated", "insights.snapshot", "insights.delta"}  # named in section 2 only
ANSWER_FIELDS = {"response_id", "epoch", "sequence_number"}


def section(number: int) -> str:
    return re.split(r"^## \d+\. ", PAGE, flags=re.MULTILINE)[number]


def rows(text: str) -> dict[str, str]:
    """First cell to second cell of every table row whose first cell names one or more types."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| `"):
            for name in re.findall(r"`([a-z_.]+)`", cells[0]):
                found[name] = cells[1] if len(cells) > 1 else ""
    return found


def fields_of(cls: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(cls)}


def test_every_client_event_is_documented_and_the_other_way_round():
    assert set(rows(section(2))) == set(CLIENT_EVENTS)


def test_every_server_event_is_documented_and_the_other_way_round():
    answer_events = rows(section(3).partition("Final `response`")[0])
    other_events = rows(section(4))
    assert set(answer_events) | set(other_events) | REPLIES == set(SERVER_EVENTS)
    assert all(f"`{name}`" in section(2) for name in REPLIES)


@pytest.mark.parametrize("name", CLIENT_EVENTS)
def test_every_field_of_a_client_event_is_documented(name):
    cell = rows(section(2))[name]
    missing = {
        field for field in fields_of(CLIENT_EVENTS[name]) - {"event_id"} if f"`{field}" not in cell
    }
    assert not missing


@pytest.mark.parametrize("name", sorted(set(SERVER_EVENTS) - REPLIES))
def test_every_field_of_a_server_event_is_documented(name):
    cells = {**rows(section(3)), **rows(section(4))}
    cell = cells[name] if name != "response.incomplete" else cells["response.completed"]
    if name in ("response.failed", "response.cancelled"):
        cell = cells["response.completed"]
    own = fields_of(SERVER_EVENTS[name]) - ANSWER_FIELDS
    missing = {field for field in own if f"`{field}" not in cell}
    assert not missing


def test_the_final_response_has_the_documented_fields():
    text = re.search(r"Final `response`: `\{(.*?)\}`\.", PAGE, re.DOTALL)
    assert text is not None
    flat = re.sub(r"\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]", "", text[1])
    flat = re.sub(r":[^,]*", "", flat)
    names = {name.strip().rstrip("?") for name in flat.split(",") if name.strip()}
    assert names == fields_of(FinalResponse)


def test_the_error_codes_are_the_documented_ones():
    line = re.search(r"Error codes: `([a-z_, ]+)`", PAGE)
    assert line is not None
    assert [code.strip() for code in line[1].split(",")] == list(ERRORS)


def test_the_close_codes_are_the_documented_ones():
    line = re.search(r"Close codes: (.*)", PAGE)
    assert line is not None
    assert {int(code) for code in re.findall(r"\b(\d{4})\b", line[1])} == set(CloseCode)


def test_the_document_resolves_every_reference():
    document = build_document("0")
    for reference in re.findall(r'"\$ref":"(#[^"]+)"', msgspec.json.encode(document).decode()):
        node = document
        for part in reference[2:].split("/"):
            node = node[part]
        assert node
