from pathlib import Path

import pytest

from server.llm.chain import PROVIDERS
from server.llm.script import ERRORS

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")


@pytest.mark.parametrize("word", [*PROVIDERS, *ERRORS, "tokens", "rate_per_s", "stall_ms"])
def test_the_page_names_what_can_be_written(word):
    assert f"`{word}`" in PAGE or f"`{word}:" in PAGE or f'"{word}"' in PAGE
