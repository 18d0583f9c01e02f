"""The demo catalog: three manuals of invented products, and what belongs to them."""

from __future__ import annotations

from pathlib import Path


def catalog_path() -> Path:
    """Return the demo catalog's file; the manuals it names are relative to its folder."""
    return Path(__file__).resolve().parent / "catalog.toml"
