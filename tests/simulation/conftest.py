import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).parent))
from explorer import Explorer


@pytest.fixture
def explore(request):
    """Runs a scenario under many seeds; see `Explorer`."""
    return Explorer(request.node.nodeid)
