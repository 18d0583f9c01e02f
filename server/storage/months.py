"""Months as ranges of UUIDv7: which one an id belongs to, by its own time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

LAST_MS = 2**48
"""First time that a UUIDv7 cannot name."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One month, UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, unix_ms: float) -> Month:
        """Return the month of a time."""
        at = datetime.fromtimestamp(unix_ms / 1000, UTC)
        return cls(at.year, at.month)

    @classmethod
    def read(cls, text: str) -> Month:
        """Return the month written as `2026-11`; raises `ValueError`."""
        at = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return cls(at.year, at.month)

    def plus(self, months: int) -> Month:
        """Return the month so many later, or earlier."""
        years, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(years, month + 1)

    @property
    def start_ms(self) -> int:
        """When it begins, Unix milliseconds."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000

    @property
    def id_range(self) -> tuple[str, str]:
        """The least UUID of the month and that of the next one."""
        return least_id(self.start_ms), least_id(self.plus(1).start_ms)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def month_of_id(event_id: str) -> Month | None:
    """Return the month of a canonical UUIDv7, None for an id of another version."""
    if event_id[14] != "7":
        return None
    try:
        return Month.of(int(event_id[:8] + event_id[9:13], 16))
    except (ValueError, OverflowError, OSError):  # years that no calendar reaches
        return None


def least_id(unix_ms: int) -> str:
    """Return the least UUID that begins with a time."""
    digits = f"{min(unix_ms, LAST_MS - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
