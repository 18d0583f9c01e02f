"""The PostgreSQL store when its server, its connections or its disk go wrong."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from judgements import NOW_S, interaction, judgement

from server.storage.opening import open_store
from server.storage.store import Filter, RowRefusedError, StoreUnavailableError, Tally


@pytest.fixture
async def opened():
    stores = []

    async def open_one(url):
        store = open_store(url, now=lambda: NOW_S)
        stores.append(store)
        await store.open()
        return store

    yield open_one
    for store in stores:
        await store.aclose()


@pytest.fixture
async def direct(postgres_url):
    """A connection of the test's own."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def stored_ids(store):
    return [one.feedback.event_id async for one in store.judged(Filter())]


async def write_until_taken(store, rows):
    """Repeat a batch until the store takes it; return its results and the codes on the way."""
    codes = []
    while True:
        try:
            return await store.write(rows), codes
        except StoreUnavailableError as error:
            codes.append(error.code)
            await asyncio.sleep(0.01)


async def until(condition):
    """Ask until the answer is yes."""
    while not await condition():  # noqa: ASYNC110 - what is asked is another process
        await asyncio.sleep(0.005)


async def test_f04_kill_9_of_the_server_loses_nothing_that_was_confirmed(opened, postgres_server):
    server = postgres_server()
    stores = [await opened(server.url) for _ in range(3)]
    confirmed, sent = set(), []
    ending = asyncio.Event()

    async def write(store):
        while not ending.is_set():
            rows = [judgement() for _ in range(50)]
            sent.append(rows)
            await write_until_taken(store, rows)
            confirmed.update(row.event_id for row in rows)

    async def more(than):
        return len(confirmed) > than

    writers = [asyncio.create_task(write(store)) for store in stores]
    for _ in range(3):
        wanted = len(confirmed) + 1000
        await until(lambda wanted=wanted: more(wanted))
        await asyncio.to_thread(server.kill)
        before = set(confirmed)
        await asyncio.to_thread(server.start)
        found = await asyncio.to_thread(server.run, "SELECT event_id::text FROM feedback")
        assert before <= {row[0] for row in found}
    ending.set()
    await asyncio.gather(*writers)
    for rows in sent:
        assert await stores[0].write(rows) == ["duplicate"] * 50
    found = await stored_ids(stores[1])
    assert sorted(confirmed) == found
    assert await stores[2].tally([], Filter()) == [Tally((), accepted=len(found))]


class Cutter:
    """A proxy that cuts a connection at its COMMIT: before the server saw it, or after."""

    def __init__(self, url, *, forward):
        self._port = int(url.rpartition(":")[2].partition("/")[0])
        self.url = ""
        self._given = url
        self._forward = forward
        self.armed = False
        self.cuts = 0
        self._silent = False
        self._serving = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._given.replace(f":{self._port}/", f":{port}/")
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader, writer):
        self._serving.append(asyncio.current_task())
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        passing = [
            asyncio.create_task(self._questions(reader, up_writer)),
            asyncio.create_task(self._replies(up_reader, writer)),
        ]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for one in passing:
            one.cancel()
        await asyncio.wait(passing)
        for one in (up_writer, writer):
            one.transport.abort()
            await asyncio.wait([asyncio.ensure_future(one.wait_closed())])

    async def _questions(self, reader, writer):
        while data := await reader.read(65536):
            if self.armed and b"COMMIT" in data:
                self.armed = False
                self.cuts += 1
                if not self._forward:
                    return
                self._silent = True
            writer.write(data)

    async def _replies(self, reader, writer):
        while data := await reader.read(65536):
            if self._silent:  # the server says that it has committed: nobody hears it
                self._silent = False
                return
            writer.write(data)


@pytest.mark.parametrize("committed", [True, False])
async def test_f05_a_connection_cut_at_the_commit_is_told_and_repeated(
    opened, postgres_url, committed
):
    async with Cutter(postgres_url, forward=committed) as proxy:
        store = await opened(proxy.url)
        rows = [judgement(), judgement(), interaction()]
        proxy.armed = True
        with pytest.raises(StoreUnavailableError) as caught:
            await store.write(rows)
        assert not caught.value.permanent
        assert proxy.cuts == 1
        expected = "duplicate" if committed else "inserted"
        assert await store.write(rows) == [expected] * 3
        assert await store.tally([], Filter()) == [Tally((), accepted=2)]
        await store.aclose()


async def fail_every_fifth(direct, code):
    """Make every fifth statement that inserts judgements fail with a code, before any row."""
    await direct.execute(
        f"""
        CREATE SEQUENCE statements;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('statements') % 5 = 0 THEN
                RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON feedback EXECUTE FUNCTION fail();
        """
    )


@pytest.mark.parametrize("code", ["40001", "40P01", "57P01", "55P03", "53300", "08006"])
async def test_f07_what_passes_is_tried_again(opened, postgres_url, direct, code):
    store = await opened(postgres_url)
    await fail_every_fifth(direct, code)
    seen = []
    for _ in range(20):
        results, codes = await write_until_taken(store, [judgement() for _ in range(10)])
        assert results == ["inserted"] * 10
        seen += codes
    assert seen == [code] * 4
    assert await store.tally([], Filter()) == [Tally((), accepted=200)]
    assert len(await stored_ids(store)) == 200


async def test_f07_a_session_ended_by_the_operator_is_made_again(opened, postgres_url, direct):
    store = await opened(postgres_url)
    row = judgement()
    async with direct.transaction():
        await direct.execute("LOCK TABLE feedback IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(store.write([row]))
        waits = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )

        async def ended():
            # The view shows one moment per transaction unless it is told to look again.
            await direct.execute("SELECT pg_stat_clear_snapshot()")
            return bool(await direct.fetch(waits))

        await until(ended)
        with pytest.raises(StoreUnavailableError) as caught:
            await writing
    # asyncpg tells 57P01 only to a session at rest; within a statement it says "lost".
    assert caught.value.code in ("57P01", "08003", "")
    assert not caught.value.permanent
    assert await store.write([row]) == ["inserted"]


@pytest.mark.parametrize("code", ["53100", "58030"])
async def test_f08_a_full_disk_is_told_as_lasting(opened, postgres_url, direct, code):
    store = await opened(postgres_url)
    await fail_every_fifth(direct, code)
    for _ in range(4):
        await store.write([judgement()])
    with pytest.raises(StoreUnavailableError) as caught:
        await store.write([judgement()])
    assert caught.value.code == code
    assert caught.value.permanent
    assert await store.write([judgement()]) == ["inserted"]


async def test_f08_a_read_only_server_is_told_and_left_for_another(opened, postgres_url, direct):
    store = await opened(postgres_url)
    name = await direct.fetchval("SELECT current_database()")
    await direct.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await store.aclose()
    await store._pool.open()  # sessions that know of it
    with pytest.raises(StoreUnavailableError) as caught:
        await store.write([judgement()])
    assert caught.value.code == "25006"
    assert caught.value.permanent
    await direct.execute("SET default_transaction_read_only = off")
    await direct.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    # The session that said so is not used again.
    assert await store.write([judgement()]) == ["inserted"]


CODES = {
    "22021": RowRefusedError,
    "22P02": RowRefusedError,
    "22003": RowRefusedError,
    "23514": RowRefusedError,
    "23502": RowRefusedError,
    "54000": RowRefusedError,
    "08000": StoreUnavailableError,
    "40002": StoreUnavailableError,
    "53000": StoreUnavailableError,
    "53200": StoreUnavailableError,
    "55006": StoreUnavailableError,
    "57014": StoreUnavailableError,
    "57P02": StoreUnavailableError,
    "57P03": StoreUnavailableError,
    "XX000": StoreUnavailableError,
    "0A000": StoreUnavailableError,
}


async def test_every_kind_of_error_says_whose_turn_it_is(opened, postgres_url, direct):
    store = await opened(postgres_url)
    for code, kind in CODES.items():
        await direct.execute("DROP SEQUENCE IF EXISTS statements CASCADE")
        await direct.execute("DROP FUNCTION IF EXISTS fail CASCADE")
        await fail_every_fifth(direct, code)
        await direct.execute("SELECT setval('statements', 4)")
        with pytest.raises(kind) as caught:
            await store.write([judgement()])
        assert code in str(caught.value)
        assert not getattr(caught.value, "permanent", False)
    assert await stored_ids(store) == []


async def test_f09_a_text_too_long_for_its_index_is_refused(opened, postgres_url):
    store = await opened(postgres_url)
    long = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(20_000))
    with pytest.raises(RowRefusedError):
        await store.write([judgement(), judgement(response_id=long)])
    assert await stored_ids(store) == []
    # Long dimensions of the roll-ups are no matter: their key is a hash.
    assert await store.write([judgement(product_id=long)]) == ["inserted"]
    assert await store.tally(["product_id"], Filter()) == [Tally((long,), accepted=1)]


async def test_a_server_that_is_away_is_told_and_found_again(opened, postgres_server):
    server = postgres_server(start=False)
    with pytest.raises(StoreUnavailableError) as caught:
        await opened(server.url)
    assert not caught.value.permanent
    server.start()
    store = await opened(server.url)
    row = judgement()
    await store.write([row])
    await asyncio.to_thread(server.stop)
    for work in (store.write([judgement()]), store.check(), stored_ids(store)):
        with pytest.raises(StoreUnavailableError):
            await work
    await asyncio.to_thread(server.start)
    assert (await write_until_taken(store, [row]))[0] == ["duplicate"]
    await asyncio.to_thread(server.cut)
    assert (await write_until_taken(store, [row]))[0] == ["duplicate"]


async def test_a_database_that_there_is_not_is_told_as_lasting(opened, shared_postgres):
    with pytest.raises(StoreUnavailableError) as caught:
        await opened(shared_postgres.url_of("missing"))
    assert caught.value.code == "3D000"
    assert caught.value.permanent


async def test_commits_reach_the_disk_whatever_the_server_prefers(opened, postgres_url, direct):
    name = await direct.fetchval("SELECT current_database()")
    await direct.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = await opened(postgres_url)
    async with store._pool.writing() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_a_cancelled_write_leaves_a_store_that_works(opened, postgres_url, direct):
    store = await opened(postgres_url)
    row = judgement()
    async with direct.transaction():
        await direct.execute("LOCK TABLE feedback IN ACCESS EXCLUSIVE MODE")
        writing = [asyncio.create_task(store.write([row])) for _ in range(5)]
        await asyncio.sleep(0)
        for one in writing:
            one.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
    assert (await write_until_taken(store, [row]))[0] in (["inserted"], ["duplicate"])
    assert await stored_ids(store) == [row.event_id]
