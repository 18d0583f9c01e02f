"""The markers that a model writes into its answer, parsed as the text arrives.

The grammar, defined over the whole text. Scan from left to right. At each `[` try to read a
marker; if there is one, it is taken out and the scan goes on after it; if not, the `[` is text
and the scan goes on at the next character.

* A marker is `[`, a keyword, `:`, a body, `]`. The keywords are those of `KEYWORDS`, in any ASCII
  case, with exactly one space, `_` or `-` between their words; no blank stands after `[` or
  before `:`.
* The body runs to the `]` that balances the opening `[`; brackets inside it must be balanced, and
  line breaks are allowed. What looks like a marker inside a body is body.
* White space at both ends of the body is no part of it. What remains has at most `MAX_BODY_CHARS`
  characters.
* If nothing remains (`[PRO TIP:] text`), the body is the rest of the line after the `]`, up to a
  `\\n` (which stays text) or the end of the text, under the same limits, brackets not counted. If
  that is blank too, there is no marker.
* The whole marker has at most `MAX_MARKER_CHARS` characters, which bounds what is held back.

Whatever is no marker is text, and not one character of it is lost: the texts and the `raw` of the
markers, joined, are the input. Where the input was cut changes neither the joined text nor the
markers.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

MarkerKind = Literal["citation", "suggestion", "pro_tip", "warning", "follow_up", "edit"]

KEYWORDS: Final[dict[str, MarkerKind]] = {
    "manual": "citation",
    "suggestion": "suggestion",
    "pro tip": "pro_tip",
    "warning": "warning",
    "follow up": "follow_up",
    "edit": "edit",
}

MAX_BODY_CHARS: Final = 600
"""The longest body; a longer one is text, since a model that runs on has lost the marker."""
MAX_MARKER_CHARS: Final = 1_200
"""The longest whole marker, for white space around a body could otherwise be held for ever."""

_PREFIXES: Final = frozenset(word[:size] for word in KEYWORDS for size in range(len(word) + 1))
_LONGEST_KEYWORD: Final = max(map(len, KEYWORDS))
# ASCII letters only: no other character may become a letter of a keyword by case folding.
_HEAD: Final = re.compile(rf"\[([A-Za-z _-]{{0,{_LONGEST_KEYWORD}}})(:?)")
_SEPARATORS: Final = str.maketrans("_-", "  ")
_BRACKET: Final = re.compile(r"[\[\]]")
_NONBLANK: Final = re.compile(r"\S")


class Text(msgspec.Struct, frozen=True, gc=False):
    """A piece of plain text, never empty."""

    text: str


class Marker(msgspec.Struct, frozen=True, gc=False):
    """A marker: `body` trimmed and never empty, `raw` exactly as it was written."""

    kind: MarkerKind
    body: str
    raw: str


class MarkerParser:
    """Parses one text given in chunks.

    Each `feed` returns the texts and markers that are certain by then, in order, and keeps the
    rest: at most `MAX_MARKER_CHARS` characters, from the first `[` that can still become a marker.
    Call `close` at the end of the text; then the parser is ready for another one.
    """

    __slots__ = ("_candidate", "_held")

    def __init__(self) -> None:
        self._held = ""
        self._candidate = _Candidate()

    def feed(self, chunk: str) -> list[Text | Marker]:
        """Return what `chunk` made certain."""
        if not self._held and "[" not in chunk:
            return [Text(chunk)] if chunk else []
        return self._scan(self._held + chunk, at_end=False)

    def close(self) -> list[Text | Marker]:
        """Return what was held back: an unclosed marker is text after all."""
        return self._scan(self._held, at_end=True)

    def _scan(self, text: str, *, at_end: bool) -> list[Text | Marker]:
        parts: list[Text | Marker] = []
        candidate = self._candidate
        start = 0  # of the text not yet given out
        at = 0 if self._held else text.find("[")
        while at >= 0:
            verdict = candidate.read(text, at, at_end=at_end)
            if verdict is None:
                break
            candidate = _Candidate()
            if verdict is _NO_MARKER:
                at = text.find("[", at + 1)
                continue
            if start < at:
                parts.append(Text(text[start:at]))
            parts.append(verdict)
            start = at + len(verdict.raw)
            at = text.find("[", start)
        end = at if at >= 0 else len(text)
        if start < end:
            parts.append(Text(text[start:end]))
        self._held, self._candidate = text[end:], candidate
        return parts


_NO_MARKER: Final = Marker("edit", "", "")
"""The verdict that a `[` is text; told by identity."""


class _Candidate:
    """What is known of one `[`, kept between feeds so that no character is read twice.

    All positions are counted from the `[`. The limits are checked against the shortest marker
    that could still come, so that text is given out as soon as no marker is possible.
    """

    __slots__ = ("_body", "_depth", "_first", "_kind", "_line", "_read")

    def __init__(self) -> None:
        self._kind: MarkerKind | None = None
        self._body = 0  # where the body begins, after the colon
        self._first = -1  # the first character of the body that is not blank
        self._depth = 1
        self._line = 0  # where the rest of the line begins, once the bracket closed on a blank body
        self._read = 0  # how far brackets, or the line's end, have been looked for

    def read(self, text: str, at: int, *, at_end: bool) -> Marker | None:
        """Read on in `text`, where the `[` stands at `at`; None while more text is needed."""
        if self._kind is None:
            verdict = self._read_head(text, at)
            if verdict is not None or self._kind is None:
                return _NO_MARKER if at_end else verdict
        verdict = None
        if not self._line:
            verdict = self._read_body(text, at)
        if self._line:
            verdict = self._read_line(text, at, at_end=at_end)
        return _NO_MARKER if verdict is None and at_end else verdict

    def _read_head(self, text: str, at: int) -> Marker | None:
        match = _HEAD.match(text, at)
        assert match is not None
        word = match[1].lower().translate(_SEPARATORS)
        if match[2]:
            self._kind = KEYWORDS.get(word)
            self._body = self._read = match.end() - at
            return None if self._kind else _NO_MARKER
        return None if match.end() == len(text) and word in _PREFIXES else _NO_MARKER

    def _read_body(self, text: str, at: int) -> Marker | None:
        """Look for the closing bracket; go over to the line when it closes a blank body."""
        end = min(len(text), at + MAX_MARKER_CHARS)
        if self._first < 0:
            found = _NONBLANK.search(text, at + self._read, end)
            self._first = found.start() - at if found else -1
            self._read = found.start() - at if found else end - at
        for bracket in _BRACKET.finditer(text, at + self._read, end):
            position = bracket.start() - at
            self._depth += 1 if bracket[0] == "[" else -1
            if not self._depth:
                return self._close_body(text, at, position)
            # The body as it is, with the inner brackets closed at once.
            if position - self._first + self._depth > MAX_BODY_CHARS:
                return _NO_MARKER
        self._read = end - at
        if self._read + self._depth + (self._first < 0) > MAX_MARKER_CHARS or len(text) > end:
            return _NO_MARKER
        if self._first < 0:
            return None
        inner = self._depth - 1
        body = text[at + self._first : end]
        size = len(body) + inner if inner else len(body.rstrip())
        return _NO_MARKER if size > MAX_BODY_CHARS else None

    def _close_body(self, text: str, at: int, position: int) -> Marker | None:
        body = text[at + self._body : at + position].strip()
        if not body:
            self._line = self._read = position + 1
            return None
        if len(body) > MAX_BODY_CHARS:
            return _NO_MARKER
        return self._make(body, text[at : at + position + 1])

    def _read_line(self, text: str, at: int, *, at_end: bool) -> Marker | None:
        """Look for the end of the line that is the body."""
        end = min(len(text), at + MAX_MARKER_CHARS + 1)
        stop = text.find("\n", at + self._read, end)
        self._read = end - at
        is_whole = stop >= 0 or at_end
        raw = text[at : stop if stop >= 0 else end]
        body = raw[self._line :].strip()
        if len(body) > MAX_BODY_CHARS or len(raw) + (not body) > MAX_MARKER_CHARS:
            return _NO_MARKER
        if not is_whole:
            return None
        return self._make(body, raw) if body else _NO_MARKER

    def _make(self, body: str, raw: str) -> Marker:
        assert self._kind is not None
        return Marker(self._kind, body, raw)
