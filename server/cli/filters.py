"""What is to be counted or exported, from the words of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from server.storage.store import Filter, GroupBy

GROUPS: Final[tuple[GroupBy, ...]] = get_args(GroupBy)
MAX_GROUPS: Final = 3
"""Groups by more fields at once are nobody's question, and their number multiplies."""

_DAYS_AGO: Final = re.compile(r"(\d{1,5})d")
_DAY_MS: Final = 86_400_000


class FilterError(ValueError):
    """An option does not say what to take; the message names it and what to write."""


def read_filter(words: Mapping[str, Any], now_ms: int) -> Filter:
    """Return the filter that the options of a command say; raises `FilterError`."""
    confidence = words["min_confidence"]
    if confidence is not None and not 0 <= confidence <= 1:
        raise FilterError("--min-confidence: write a number from 0 to 1, such as 0.7.")
    since, until = (read_time(f"--{name}", words[name], now_ms) for name in ("since", "until"))
    if since is not None and until is not None and until <= since:
        raise FilterError("--until: is not after --since. Name a later time.")
    return Filter(
        tenant=words["tenant"],
        since=since,
        until=until,
        product_id=words["product"],
        scenario=words["scenario"],
        prompt_version=words["prompt_version"],
        model=words["model"],
        arm=words["arm"],
        item_type=words["item_type"],
        user_id=words["user"],
        min_confidence=confidence,
    )


def read_time(option: str, text: str | None, now_ms: int) -> int | None:
    """Return a time in Unix milliseconds; raises `FilterError`.

    `text` is a date, an RFC 3339 time (UTC when it names no offset), or `7d`: the start of the
    UTC day so many days before today.
    """
    if text is None:
        return None
    if days := _DAYS_AGO.fullmatch(text):
        return max(0, now_ms // _DAY_MS - int(days[1])) * _DAY_MS
    try:
        moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        time_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        time_ms = -1
    if time_ms < 0:
        raise FilterError(
            f"{option}: {text!r} is no time. Write 2026-11-21, 2026-11-21T10:00:00Z or 7d."
        )
    return time_ms


def read_groups(texts: list[str]) -> tuple[GroupBy, ...]:
    """Return the fields to group by, from words with commas; raises `FilterError`."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in GROUPS:
            raise FilterError(f"--by: no field {name!r}. There are {', '.join(GROUPS)}.")
    if len(names) > MAX_GROUPS or len(set(names)) < len(names):
        raise FilterError(f"--by: name at most {MAX_GROUPS} fields, each once.")
    return tuple(group for name in names for group in GROUPS if group == name)


def read_every(text: str | None) -> Literal["day", "week"] | None:
    """Return the period to print a trend by; raises `FilterError`."""
    match text:
        case None | "day" | "week":
            return text
        case _:
            raise FilterError(f"--every: no period {text!r}. There are day and week.")
