import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes"))
import feedback_rig

from server.feedback.writer import Writer


@pytest.fixture
def store():
    return feedback_rig.FaultyStore()


@pytest.fixture
def events():
    """Counts what writers tell."""
    return Counter()


@pytest.fixture
async def writer_of(events):
    """Starts writers with quick defaults: `writer_of(store, journal=...)`."""
    writers = []

    def make(store, **options):
        def count(event):
            events[event] += 1

        writer = Writer(store, **{"on_event": count, **options})
        writer.start()
        writers.append(writer)
        return writer

    yield make
    for writer in writers:
        await writer.aclose(drain_s=0.2)
