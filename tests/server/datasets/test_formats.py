"""Every format: what is written is what its reader takes, and nothing else passes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.datasets.encoders import one_line
from server.datasets.examples import Example, Pair
from server.datasets.formats import FORMATS, UnknownFormatError, format_named

EXAMPLE = Example("How?", "So.", "Be brief.")
PAIR = Pair("How?", "So.", "Otherwise.", "Be brief.")
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "How?"}
GEMINI_USER = {"role": "user", "parts": [{"text": "How?"}]}


def assistant(text):
    return {"role": "assistant", "content": text}


def model(text):
    return {"role": "model", "parts": [{"text": text}]}


EXPECTED = {
    "openai-chat": {"messages": [SYSTEM, USER, assistant("So.")]},
    "openai-preference": {
        "input": {"messages": [SYSTEM, USER]},
        "preferred_output": [assistant("So.")],
        "non_preferred_output": [assistant("Otherwise.")],
    },
    "trl": {
        "prompt": [SYSTEM, USER],
        "chosen": [assistant("So.")],
        "rejected": [assistant("Otherwise.")],
    },
    "gemini": {
        "contents": [GEMINI_USER, model("So.")],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    },
    "gemini-preference": {
        "contents": [GEMINI_USER],
        "completions": [
            {"score": 1, "completion": model("So.")},
            {"score": 0, "completion": model("Otherwise.")},
        ],
        "system_instruction": {"parts": [{"text": "Be brief."}]},
    },
}
TRAINING = sorted(EXPECTED)


def source(chosen):
    return EXAMPLE if chosen.kind == "examples" else PAIR


@pytest.mark.parametrize("name", TRAINING)
def test_a_line_has_the_documented_shape_and_passes(name):
    chosen = FORMATS[name]
    line = chosen.encode(source(chosen))
    assert json.loads(line) == EXPECTED[name]
    assert chosen.check(line) is None


@pytest.mark.parametrize("name", TRAINING)
def test_without_a_system_text_there_is_no_such_field(name):
    chosen = FORMATS[name]
    bare = Example("How?", "So.") if chosen.kind == "examples" else Pair("How?", "So.", "No.")
    line = chosen.encode(bare)
    assert b"ystem" not in line
    assert chosen.check(line) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@pytest.mark.parametrize("name", TRAINING)
@given(texts, texts, texts)
def test_any_text_comes_back_exactly_from_one_line(name, question, preferred, rejected):
    chosen = FORMATS[name]
    if chosen.kind == "examples":
        line = chosen.encode(Example(question, preferred))
        assert chosen.check(line) is None
    else:
        line = chosen.encode(Pair(question, preferred, rejected))
        assert (chosen.check(line) == "same_text") == (preferred.strip() == rejected.strip())
        assert rejected in _strings(json.loads(line))
    assert len(line.decode().splitlines()) == 1
    assert {question, preferred} <= _strings(json.loads(line))


def _strings(value):
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_strings, inner))


def without(path, value=None, *, drop=False):
    """The change of one place in a line: `a.0.b` set to a value or dropped."""

    def change(document):
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in way:
            document = document[step]
        if drop:
            del document[last]
        elif isinstance(document, list) and last == len(document):
            document.append(value)
        else:
            document[last] = value

    return change


BROKEN = [
    ("openai-chat", without("messages", []), "invalid_line"),
    ("openai-chat", without("messages.2", drop=True), "invalid_line"),
    ("openai-chat", without("messages.1", drop=True), "invalid_line"),
    ("openai-chat", without("messages.2.role", "function"), "invalid_line"),
    ("openai-chat", without("messages.2.weight", 1), "invalid_line"),
    ("openai-chat", without("messages.2.content", None), "invalid_line"),
    ("openai-chat", without("messages.2.content", " "), "empty_answer"),
    ("openai-chat", without("messages.1", SYSTEM), "invalid_line"),
    ("openai-chat", without("messages.2.content", "x" * 65_536), "too_long"),
    ("openai-chat", without("messages.2.content", "é" * 32_768), "too_long"),
    ("openai-chat", without("note", "x"), "invalid_line"),
    ("openai-preference", without("preferred_output", []), "invalid_line"),
    ("openai-preference", without("preferred_output.1", assistant("x")), "invalid_line"),
    ("openai-preference", without("non_preferred_output.0.role", "user"), "invalid_line"),
    ("openai-preference", without("non_preferred_output.0.content", "So."), "same_text"),
    ("openai-preference", without("input.messages", []), "invalid_line"),
    ("openai-preference", without("input.messages.2", assistant("x")), "invalid_line"),
    ("trl", without("rejected", "text"), "invalid_line"),
    ("trl", without("chosen", drop=True), "invalid_line"),
    ("trl", without("prompt.1.content", ""), "empty_answer"),
    ("gemini", without("contents.1.role", "assistant"), "invalid_line"),
    ("gemini", without("contents.1", drop=True), "invalid_line"),
    ("gemini", without("contents.0.parts", []), "empty_answer"),
    ("gemini", without("contents.1.parts.0.text", "x" * 131_073), "too_long"),
    ("gemini-preference", without("contents.1", model("x")), "invalid_line"),
    ("gemini-preference", without("completions.2", {"score": 0, "completion": {}}), "invalid_line"),
    ("gemini-preference", without("completions.0.score", 0), "invalid_line"),
    ("gemini-preference", without("completions.0.score", 0.5), "invalid_line"),
    ("gemini-preference", without("completions.0.completion.role", "user"), "invalid_line"),
    ("gemini-preference", without("completions.1.completion.parts.0.text", "So."), "same_text"),
]


@pytest.mark.parametrize(("name", "change", "reason"), BROKEN)
def test_what_the_reader_would_refuse_is_refused_with_a_reason(name, change, reason):
    document = json.loads(json.dumps(EXPECTED[name]))
    change(document)
    line = (json.dumps(document, ensure_ascii=False) + "\n").encode()
    assert FORMATS[name].check(line) == reason


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b"\xff\n"])
def test_what_is_no_line_of_the_format_is_refused(name, line):
    assert FORMATS[name].check(line) == "invalid_line"


def test_a_line_must_end_and_end_only_once():
    line = FORMATS["openai-chat"].encode(EXAMPLE)
    assert FORMATS["openai-chat"].check(line[:-1]) == "invalid_line"
    assert FORMATS["openai-chat"].check(line.replace(b",", b",\n", 1)) == "invalid_line"


def test_separators_that_some_readers_cut_at_are_escaped():
    assert one_line('"a\u2028b\u2029c\u0085d"'.encode()) == b'"a\\u2028b\\u2029c\\u0085d"\n'


def test_a_lone_surrogate_cannot_be_encoded():
    with pytest.raises(UnicodeError):
        FORMATS["openai-chat"].encode(Example("How?", "\ud800"))


def test_an_unknown_format_names_those_there_are():
    with pytest.raises(UnknownFormatError, match="openai-chat, openai-preference, gemini"):
        format_named("xml")
