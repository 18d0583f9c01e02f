import dataclasses
from pathlib import Path

from server.config.document import OPTIONS, build_document
from server.config.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_made_from_the_table():
    """Write it again with: python -m server.config.document > docs/configuration.md"""
    assert PAGE.read_text("utf-8") == build_document()


def test_every_setting_is_described():
    page = build_document()
    for row in dataclasses.fields(Settings):
        assert f"`MANICULE_{row.name.upper()}`" in page
        assert row.metadata["help"].endswith(".")


def test_every_number_has_limits():
    for row in dataclasses.fields(Settings):
        if isinstance(row.default, int | float) and not isinstance(row.default, bool):
            assert row.metadata["limits"][0] is not None, row.name


def test_options_are_settings():
    assert set(OPTIONS) <= {row.name for row in dataclasses.fields(Settings)}
