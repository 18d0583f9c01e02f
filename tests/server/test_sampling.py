"""Gauges that no event moves say what is the case when they are looked at."""

import datetime

import pytest
from certificates import certificate
from prometheus_client.parser import text_string_to_metric_families

from server.app import SERVER_VERSION
from server.sampling import CERTIFICATES_S, FEEDBACK_EVENTS, OUTCOMES, Sampler, announce
from server.storage.journal import MAX_ENTRIES, MemoryJournal
from server.telemetry.metrics import PREFIX, Metrics

NOON = datetime.datetime(2027, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def metrics():
    return Metrics()


def samples(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (one.name.removeprefix(PREFIX), *one.labels.values()): one.value
        for family in families
        for one in family.samples
    }


async def test_the_journal_is_counted_and_its_oldest_entry_aged(metrics):
    now = 1000.0
    journal = MemoryJournal(wall_clock=lambda: now)
    sampler = Sampler(metrics, journal=journal, wall_clock=lambda: now)
    await journal.append([b"one", b"two"])
    now = 1090.0
    await sampler.step()
    seen = samples(metrics)
    assert seen["journal_entries",] == 2
    assert seen["journal_capacity_entries",] == MAX_ENTRIES
    assert seen["journal_oldest_seconds",] == 90
    await journal.done([entry.id for entry in await journal.fresh("a", 2)])
    await sampler.step()
    assert samples(metrics)["journal_oldest_seconds",] == 0
    assert samples(metrics)["journal_entries",] == 0


async def test_a_journal_that_does_not_answer_keeps_its_last_values(metrics):
    journal = MemoryJournal()
    sampler = Sampler(metrics, journal=journal)
    await journal.append([b"one"])
    await sampler.step()
    journal.failing = "away"
    await sampler.step()
    assert samples(metrics)["journal_entries",] == 1


async def test_certificates_tell_their_end_and_are_read_anew(metrics, tmp_path):
    now = 0.0
    file = tmp_path / "proxy.pem"
    later = NOON + datetime.timedelta(days=9)
    file.write_bytes(certificate(later) + certificate(NOON))
    sampler = Sampler(metrics, certificates=[file], clock=lambda: now)
    await sampler.step()
    key = ("certificate_expiry_timestamp_seconds", "proxy.pem")
    assert samples(metrics)[key] == NOON.timestamp(), "the first of a chain to end"
    file.write_bytes(certificate(later))
    await sampler.step()
    assert samples(metrics)[key] == NOON.timestamp(), "not read at every look"
    now = CERTIFICATES_S
    await sampler.step()
    assert samples(metrics)[key] == later.timestamp()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_certificate_that_cannot_be_read_counts_as_ended(metrics, tmp_path, content):
    file = tmp_path / "broken.pem"
    if content is not None:
        file.write_bytes(content)
    await Sampler(metrics, certificates=[file]).step()
    assert samples(metrics)["certificate_expiry_timestamp_seconds", "broken.pem"] == 0


async def test_memory_is_that_of_this_process(metrics):
    await Sampler(metrics).step()
    assert 10 * 2**20 < samples(metrics)["memory_bytes",] < 10 * 2**30


def test_what_alerts_look_at_is_there_before_it_first_happens(metrics):
    announce(metrics, ["general"])
    seen = samples(metrics)
    assert seen["build_info", SERVER_VERSION] == 1
    for event in FEEDBACK_EVENTS:
        assert seen["feedback_events_total", event] == 0
    for outcome in OUTCOMES:
        assert seen["queries_total", outcome, "general"] == 0
