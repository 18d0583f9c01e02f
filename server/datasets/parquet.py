"""Tables as Parquet, with `pyarrow`, which only this needs and which is imported only here."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from server.datasets.tables import COLUMNS

EXTRA = "parquet"
ROW_GROUP = 10_000
"""Rows that are kept before they are written: what memory holds at most."""


class MissingExtraError(Exception):
    """A library of an optional extra is not installed; the message says how to install it."""


class ParquetWriter:
    """Writes rows (JSON arrays in the order of `COLUMNS`) to a new Parquet file, zstd-compressed.

    Raises `MissingExtraError` when `pyarrow` is not installed.
    """

    def __init__(self, path: Path) -> None:
        arrow, parquet = _pyarrow()
        types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
        self._arrow = arrow
        self._path = path
        self._schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
        self._writer = parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._rows: list[Any] = []
        self._closed = False

    def write(self, lines: Sequence[bytes]) -> None:
        """Append rows."""
        self._rows += map(msgspec.json.decode, lines)
        if len(self._rows) >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        """Write what is left, the footer, and make the file durable."""
        if self._closed:
            return
        self._closed = True
        self._write_group()
        self._writer.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def _write_group(self) -> None:
        if not self._rows:
            return
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        arrays = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            f"Parquet needs pyarrow: pip install 'manicule[{EXTRA}]', or choose csv"
        ) from error
