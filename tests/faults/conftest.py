import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parent))
import obligations as owed
import processes


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Starts server processes: `server([{"text": "Hello"}], "--option", "value", name="value")`."""
    yield from processes.factory(tmp_path_factory)


@pytest.fixture
def obligations():
    """The oracle of feedback tests, with nothing sent yet."""
    return owed.Obligations()
