"""Where things are kept when the settings name no place."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from server.config.settings import Settings

STORE_FILE: Final = "manicule.db"


def store_url(settings: Settings) -> str:
    """Return the store's URL: the one set, or SQLite in the data folder."""
    return settings.store or f"sqlite:///{quote(str(settings.data_dir.absolute() / STORE_FILE))}"
