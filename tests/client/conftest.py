import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parent))
import processes
from told_server import Sleeps, told_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Starts server processes: `server([{"text": "Hello"}], "--option", "value", name="value")`."""
    yield from processes.factory(tmp_path_factory)


@pytest.fixture
async def told():
    """A server that does what it is told."""
    async with told_server() as one:
        yield one


@pytest.fixture
def sleeps():
    """Sleeps that are noted and do not last."""
    return Sleeps()
