"""Small charts of characters: a line of levels and a bar."""

from __future__ import annotations

from collections.abc import Sequence

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"
EIGHTHS = " ▏▎▍▌▋▊▉"
NONE, ASCII_NONE = "·", "?"
"""Where there is no value; it is not the lowest level."""


def sparkline(values: Sequence[float | None], top: float, *, ascii_only: bool = False) -> str:
    """Return one character for each value from 0 to `top`; the lowest level is 0 alone."""
    levels = ASCII_LEVELS if ascii_only else LEVELS
    none = ASCII_NONE if ascii_only else NONE
    return "".join(none if each is None else levels[_level(each, top)] for each in values)


def bar(value: float, top: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of at most `width` characters; what is over 0 has a length that shows."""
    if value <= 0 or top <= 0:
        return ""
    eighths = max(1, round(min(1.0, value / top) * width * 8))
    if ascii_only:
        return "#" * max(1, round(eighths / 8))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _level(value: float, top: float) -> int:
    if value <= 0 or top <= 0:
        return 0
    return 1 + min(6, int(value / top * 7))
