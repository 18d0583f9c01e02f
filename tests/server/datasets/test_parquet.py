"""Parquet needs an extra; without it the error says which, and nothing is left behind."""

import sys

import pytest

from server.datasets.parquet import MissingExtraError
from server.datasets.service import export
from server.storage.memory_store import MemoryStore
from server.storage.store import Filter


async def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'manicule\[parquet\]'"):
        await export(
            MemoryStore(), Filter(), "parquet", "80/20", tmp_path / "out", now=0, version="1"
        )
    assert list(tmp_path.iterdir()) == []
