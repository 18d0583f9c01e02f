"""What only a real Redis can do to the journal: be unfit, go away, come back as another."""

from __future__ import annotations

import asyncio

import pytest
from redis_servers import PATIENT_S

from server.storage.journal import JournalError
from server.storage.redis_client import RedisClient
from server.storage.redis_journal import GROUP, JOURNAL_KEY, RedisJournal

FIT = ("--appendonly", "yes", "--maxmemory-policy", "noeviction")


@pytest.fixture
async def journal_at():
    """Journals by URL, with time for a machine that is busy; `clock` is set by hand."""
    clients = []

    def make(url, **options):
        clients.append(RedisClient(url, timeout_s=PATIENT_S))
        return RedisJournal(clients[-1], **options)

    yield make
    for client in clients:
        await client.aclose()


async def appended(journal, entries, tries=100):
    """Append once the breaker lets a call through again, and the disk is not too slow."""
    for _ in range(tries):
        try:
            return await journal.append(entries)
        except JournalError:
            await asyncio.sleep(0.05)
    return await journal.append(entries)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "append-only"),
        (("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"), "noeviction"),
        (("--maxmemory-policy", "volatile-lru"), "append-only"),
    ],
)
async def test_f15_an_unfit_log_is_never_acknowledged_into(redis_server, journal_at, options, word):
    server = redis_server(*options)
    journal = journal_at(server.url)
    assert word in await journal.unfit()
    with pytest.raises(JournalError, match=word):
        await journal.append([b"one"])
    assert server.run("EXISTS", JOURNAL_KEY) == 0


async def test_f15_a_log_that_comes_back_unfit_is_noticed_at_once(redis_server, journal_at):
    server = redis_server(*FIT)
    journal = journal_at(server.url, clock=lambda: 0.0)  # findings never age
    await journal.append([b"one"])
    server.stop()
    server.options = ()
    server.start()
    for _ in range(3):
        with pytest.raises(JournalError):
            await journal.append([b"two"])
    assert "append-only" in await journal.unfit()


async def test_f14_what_was_logged_outlives_a_crash_of_the_log(redis_server, journal_at):
    server = redis_server(*FIT, "--appendfsync", "everysec")
    journal = journal_at(server.url)
    acknowledged = []
    for n in range(60):
        batch = [b"%d-%d" % (n, m) for m in range(50)]
        if n % 20 == 19:
            server.kill()
            server.start()
        await appended(journal, batch)
        acknowledged += batch
    server.kill()
    server.start()
    again = journal_at(server.url)
    found = [entry.data for entry in await again.fresh("a", 10_000)]
    assert sorted(set(found)) == sorted(acknowledged)


async def test_f16_a_server_without_our_last_entries_is_counted(redis_server, journal_at):
    server = redis_server(*FIT)
    gaps = []
    journal = journal_at(server.url, on_gap=lambda: gaps.append(1))
    await journal.append([b"one"])
    server.kill()
    for path in (server.folder / "appendonlydir").iterdir():
        path.unlink()
    server.start()
    await appended(journal, [b"two"])
    assert gaps == [1]
    await journal.append([b"three"])
    assert gaps == [1]


async def test_f16_a_primary_without_its_replica_takes_nothing(redis_server, journal_at):
    server = redis_server(*FIT, "--min-replicas-to-write", "1")
    with pytest.raises(JournalError, match="NOREPLICAS"):
        await journal_at(server.url).append([b"one"])


async def test_a_log_that_is_away_says_so(free_port, journal_at):
    journal = journal_at(f"redis://127.0.0.1:{free_port}/0")
    assert "does not answer" in await journal.unfit()
    for call in (
        journal.append([b"one"]),
        journal.size(),
        journal.fresh("a", 1),
        journal.own("a", 1),
        journal.claim("a", 1, idle_ms=0),
        journal.done(["1-0"]),
    ):
        with pytest.raises(JournalError):
            await call


async def test_a_full_memory_is_no_acknowledgement(redis_server, journal_at):
    server = redis_server(*FIT, "--maxmemory", "8mb")
    journal = journal_at(server.url)
    taken, refusal = 0, None
    while refusal is None and taken < 200:
        try:
            await journal.append([b"x" * 100_000])
            taken += 1
        except JournalError as error:
            refusal = str(error)
    assert "out_of_memory" in refusal
    assert await journal.size() == taken > 0


async def test_makes_its_group_again_when_it_is_gone(redis_server, journal_at):
    server = redis_server(*FIT)
    journal = journal_at(server.url)
    await journal.append([b"one"])
    assert len(await journal.fresh("a", 10)) == 1
    server.run("XGROUP", "DESTROY", JOURNAL_KEY, GROUP)
    with pytest.raises(JournalError, match="NOGROUP"):
        await journal.fresh("a", 10)
    assert len(await journal.fresh("a", 10)) == 1


async def test_never_trims(redis_server, journal_at):
    server = redis_server(*FIT)
    # With a clock that stands no disk is too slow: an append that was refused may yet be there.
    journal = journal_at(server.url, clock=lambda: 0.0)
    for _ in range(20):
        await journal.append([b"x"] * 1000)
    assert await journal.size() == 20_000
