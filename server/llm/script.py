"""Scripts for the `scripted` model: what a step may say, and reading them with good messages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, get_args

from server.llm.port import FinishReason, UpstreamErrorKind, Usage

MAX_SCRIPT_BYTES = 16 * 2**20
"""A larger script is a mistake in the path rather than a script."""

MAX_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class Say:
    """Give `text` after `delay_ms`."""

    text: str
    delay_ms: float = 0


@dataclass(frozen=True, slots=True)
class Words:
    """Give `tokens` short words, `rate_per_s` a second; 0 means as fast as they are taken.

    With `word` each of them is that text.
    """

    tokens: int
    rate_per_s: float = 0
    word: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """Say nothing for `stall_ms`."""

    stall_ms: float


@dataclass(frozen=True, slots=True)
class Fail:
    """End with an error."""

    kind: UpstreamErrorKind
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the end of the answer shall say; None leaves it as it is."""

    finish: FinishReason | None = None
    usage: Usage | None = None
    signal: float | None = None


Step = Say | Words | Stall | Fail | Facts

ERRORS: dict[str, UpstreamErrorKind] = {
    "upstream_error": "server",
    "upstream_timeout": "timeout",
    "overloaded": "server",
    **{kind: kind for kind in get_args(UpstreamErrorKind)},
}
"""What `error` may name: the wire's codes and the kinds of `UpstreamError`."""

_FIELDS = {
    "text": {"text", "delay_ms"},
    "tokens": {"tokens", "rate_per_s", "word"},
    "stall_ms": {"stall_ms"},
    "error": {"error", "retry_after_s"},
}
_FACTS = {"finish", "usage", "signal"}

BUILT_IN: tuple[Step, ...] = (
    Say("This answer comes from a script and not from the manual. "),
    Say("It shows how an answer is streamed. ", 20),
    Say("[PRO TIP: Give the server a model to have real answers.]", 20),
)
"""What plain `scripted` says."""


class ScriptError(ValueError):
    """A script cannot be used; the message names the step, from 1, and the field."""


def load_script(path: Path) -> tuple[Step, ...]:
    """Read a script from a file. Raises `ScriptError`, also when there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCRIPT_BYTES + 1)
    except OSError as error:
        raise ScriptError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_SCRIPT_BYTES:
        raise ScriptError(f"{path} is over {MAX_SCRIPT_BYTES} bytes")
    return parse_script(data)


def parse_script(data: str | bytes) -> tuple[Step, ...]:
    """Read a script from JSON: a list of steps. Raises `ScriptError`."""
    try:
        steps = json.loads(data)
    except ValueError as error:
        raise ScriptError(f"the script is not JSON: {error}") from error
    if not isinstance(steps, list):
        raise ScriptError("the script must be a list of steps")
    if len(steps) > MAX_STEPS:
        raise ScriptError(f"the script has over {MAX_STEPS} steps")
    return tuple(_step(number, step) for number, step in enumerate(steps, 1))


def _step(number: int, step: object) -> Step:
    if not isinstance(step, dict):
        raise ScriptError(f"step {number}: must be an object such as {{'text': 'Hello'}}")
    kinds = [kind for kind in _FIELDS if kind in step]
    if len(kinds) > 1 or not (kinds or _FACTS & step.keys()):
        choice = ", ".join([*_FIELDS, *sorted(_FACTS)])
        raise ScriptError(f"step {number}: must have exactly one of {choice}")
    allowed = _FIELDS[kinds[0]] if kinds else _FACTS
    for name in step:
        if name not in allowed:
            near = get_close_matches(str(name), allowed, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ScriptError(f"step {number}: unknown field {name!r}{meant}")
    return _read_step(_Fields(number, step))


def _read_step(fields: _Fields) -> Step:
    if "text" in fields.step:
        return Say(fields.text("text"), fields.number("delay_ms"))
    if "tokens" in fields.step:
        word = fields.text("word") if "word" in fields.step else ""
        return Words(fields.whole("tokens"), fields.number("rate_per_s"), word)
    if "stall_ms" in fields.step:
        return Stall(fields.number("stall_ms"))
    if "error" in fields.step:
        kind = ERRORS[fields.one_of("error", ERRORS)]
        return Fail(
            kind, fields.number("retry_after_s") if "retry_after_s" in fields.step else None
        )
    return fields.facts()


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one step, checked as they are asked for."""

    step_number: int
    step: dict[str, Any]

    def text(self, name: str) -> str:
        value = self.step[name]
        if not isinstance(value, str):
            self._wrong(name, "a string")
        return value

    def number(self, name: str, largest: float = 1e9) -> float:
        value = self.step.get(name, 0)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not 0 <= value <= largest:
            self._wrong(name, f"a number from 0 to {largest:g}")
        return float(value)

    def whole(self, name: str) -> int:
        value = self.step[name]
        if type(value) is not int or not 0 <= value <= 10**9:
            self._wrong(name, "a whole number, 0 or more")
        return int(value)

    def one_of(self, name: str, allowed: Iterable[str]) -> str:
        value = self.step[name]
        if not isinstance(value, str) or value not in allowed:
            self._wrong(name, f"one of {', '.join(allowed)}")
        return str(value)

    def facts(self) -> Facts:
        finish: Any = (
            self.one_of("finish", get_args(FinishReason)) if "finish" in self.step else None
        )
        signal = self.number("signal", 1) if "signal" in self.step else None
        return Facts(finish, self._usage() if "usage" in self.step else None, signal)

    def _usage(self) -> Usage:
        value = self.step["usage"]
        names = ("input_tokens", "output_tokens", "cached_tokens")
        if not isinstance(value, dict) or not value.keys() <= set(names):
            self._wrong("usage", f"an object with {', '.join(names)}")
        counts = _Fields(self.step_number, {name: value.get(name, 0) for name in names})
        given, written, cached = (counts.whole(name) for name in names)
        return Usage(given, written, cached)

    def _wrong(self, name: str, wanted: str) -> NoReturn:
        raise ScriptError(f"step {self.step_number}: {name} must be {wanted}")
