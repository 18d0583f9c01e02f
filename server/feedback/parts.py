"""Writing a batch that may hold a row which can never be stored: cut it in two, try the halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from server.storage.records import AnyRow, Written
from server.storage.store import RowRefusedError, Store

FIRST_RETRY_S = 0.02
MAX_RETRY_S = 0.5
"""Pauses between attempts double from the first to the last; half of each is thrown by dice."""


def retry_pause_s(failures: int, dice: float) -> float:
    """Return how long to wait after that many failures in a row; `dice` is in 0..1."""
    longest = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
    return longest * (1 + dice) / 2


class Piece(Protocol):
    """A row on its way to the store, with the bytes that are kept should it be refused."""

    @property
    def row(self) -> AnyRow:
        """The row itself."""
        ...

    @property
    def data(self) -> bytes:
        """The row as it was encoded when it came."""
        ...


OnePiece = TypeVar("OnePiece", bound=Piece)


async def write_parts(
    store: Store,
    pieces: Sequence[OnePiece],
    *,
    received_at: int,
    on_written: Callable[[OnePiece, Written], None],
    on_refused: Callable[[OnePiece, str], None],
) -> int:
    """Store all pieces but those that the store refuses, which become dead letters.

    Each piece is told of exactly once, after what became of it is durable. One bad row among
    1,000 takes at most 21 statements: one, and two for each of ten halvings. Returns the number
    of statements. Raises `StoreUnavailableError`; what was told of until then is done.
    """
    statements = 0
    parts = [pieces]
    while parts:
        part = parts.pop()
        statements += 1
        try:
            results = await store.write([piece.row for piece in part])
        except RowRefusedError as error:
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            [piece] = part
            await store.put_dead_letter(piece.data, str(error), received_at)
            on_refused(piece, str(error))
        else:
            for piece, written in zip(part, results, strict=True):
                on_written(piece, written)
    return statements
