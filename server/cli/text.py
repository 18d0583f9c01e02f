"""Text from a server or a file, made fit for a terminal."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"


def plain(text: object) -> str:
    """Return the text without what could steer a terminal or turn its reading order around.

    Control characters (so all of ANSI's escape sequences begin with nothing) become `�`; format
    characters such as direction overrides are dropped, but for joiners that letters need.
    """
    return "".join(map(_shown, str(text)))


def one_line(text: object, limit: int = 0) -> str:
    """Return the text as one line, cut with an ellipsis after `limit` characters if given."""
    line = " ".join(plain(text).split())
    return line[: limit - 1].rstrip() + "…" if limit and len(line) > limit else line


def _shown(char: str) -> str:
    if char in _KEPT or char.isprintable():
        return char
    if char == "\r":
        return ""
    category = unicodedata.category(char)
    if category == "Cf":
        return char if char in "\u200c\u200d" else ""
    return " " if category.startswith("Z") else "\N{REPLACEMENT CHARACTER}"
