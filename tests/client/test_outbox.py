"""The two outboxes are twins, and the file survives what a file must survive."""

import asyncio
import sqlite3
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manicule

BYTES = 200
ids = st.sampled_from([f"id-{number}" for number in range(12)])
steps = st.one_of(
    st.tuples(st.just("add"), ids, st.text(alphabet="aé👍", max_size=30)),
    st.tuples(st.just("remove"), st.lists(ids, max_size=4)),
    st.tuples(st.just("after"), st.integers(0, 12), st.integers(0, 6)),
    st.tuples(st.just("reopen")),
)


async def play(box, again, script):
    """What an outbox says to a script; positions become their order, as only that is promised."""
    said, position_of = [], [0]
    await box.open()
    for step, *given_ in script:
        match step:
            case "add":
                try:
                    said.append(await box.add(*given_))
                except manicule.OutboxFullError as error:
                    said.append(error.code)
            case "remove":
                said.append(await box.remove(*given_))
            case "after":
                at, limit = given_
                entries = await box.after(position_of[min(at, len(position_of) - 1)], limit)
                assert [entry.position for entry in entries] == sorted(
                    entry.position for entry in entries
                )
                said.append([(entry.event_id, entry.frame) for entry in entries])
                position_of += [entry.position for entry in entries]
            case "reopen":
                box = await again(box)
        said.append(box.count)
    await box.aclose()
    return said


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, max_size=40))
def test_the_twins_say_the_same(tmp_path_factory, script):
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"

    async def reopen(box):
        await box.aclose()
        fresh = manicule.SqliteOutbox(path, BYTES)
        await fresh.open()
        return fresh

    async def keep(box):
        return box

    in_memory = asyncio.run(play(manicule.MemoryOutbox(BYTES), keep, script))
    in_file = asyncio.run(play(manicule.SqliteOutbox(path, BYTES), reopen, script))
    assert in_file == in_memory


@pytest.fixture(params=["memory", "file"])
async def box(request, tmp_path):
    made = (
        manicule.MemoryOutbox(BYTES)
        if request.param == "memory"
        else manicule.SqliteOutbox(tmp_path / "outbox.db", BYTES)
    )
    await made.open()
    yield made
    await made.aclose()


async def test_many_at_once_keep_their_order(box):
    await asyncio.gather(*(box.add(f"{number:03}", "") for number in range(600)))
    entries = await box.after(0, 1000)
    assert [entry.event_id for entry in entries] == [f"{number:03}" for number in range(600)]
    assert box.count == 600


async def test_a_full_outbox_refuses_the_new_and_keeps_the_old(box):
    await box.add("old", "é" * 90)
    with pytest.raises(manicule.OutboxFullError) as caught:
        await box.add("new", "x" * 21)
    assert (caught.value.code, caught.value.retryable) == ("outbox_full", True)
    await box.add("small", "x" * 20)
    assert [entry.event_id for entry in await box.after(0, 9)] == ["old", "small"]
    await box.remove(["old"])
    await box.add("new", "x" * 180)
    assert box.count == 2


async def test_a_cancelled_call_breaks_nothing(box):
    adding = asyncio.ensure_future(box.add("one", "1"))
    await asyncio.sleep(0)
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    await box.add("two", "2")
    assert (await box.after(0, 9))[-1].event_id == "two"


# The file


async def test_two_processes_may_share_a_file(tmp_path):
    path = tmp_path / "outbox.db"
    first, second = manicule.SqliteOutbox(path), manicule.SqliteOutbox(path)
    await asyncio.gather(first.open(), second.open())
    await asyncio.gather(
        *(
            box.add(f"{name}-{n}", "x")
            for n in range(50)
            for name, box in (("a", first), ("b", second))
        )
    )
    assert {entry.event_id for entry in await first.after(0, 200)} == {
        f"{name}-{n}" for name in "ab" for n in range(50)
    }
    await first.remove([f"b-{n}" for n in range(50)])
    assert len(await second.after(0, 200)) == second.count == 50
    await first.aclose()
    await second.aclose()


async def test_only_its_owner_reads_the_file(tmp_path):
    box = manicule.SqliteOutbox(tmp_path / "outbox.db")
    await box.open()
    await box.add("one", "what a person said")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
    await box.aclose()


async def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE accounts (id)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(manicule.OutboxError, match="another program"):
        await manicule.SqliteOutbox(path).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["text", "folder", "missing"])
async def test_a_file_that_cannot_be_one_is_told(tmp_path, kind):
    path = tmp_path / "outbox.db"
    if kind == "text":
        path.write_text("no database" * 100)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no such folder" / "outbox.db"
    with pytest.raises(manicule.OutboxError, match=str(path)):
        async with manicule.connect("ws://127.0.0.1:1/ws", outbox=path):
            pass


async def test_a_write_that_fails_is_told_and_the_next_is_tried(tmp_path):
    path = tmp_path / "outbox.db"
    box = manicule.SqliteOutbox(path)
    await box.open()
    await box.add("before", "x")
    with sqlite3.connect(path) as other:
        other.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON waiting"
            " BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
        )
    with pytest.raises(manicule.OutboxError, match="disk on fire"):
        await box.add("one", "x")
    with other:
        other.execute("DROP TRIGGER broken")
    other.close()
    await box.add("two", "x")
    assert [entry.event_id for entry in await box.after(0, 9)] == ["before", "two"]
    await box.aclose()
    with pytest.raises(manicule.OutboxError, match="closed"):
        await box.add("three", "x")


def test_a_loop_that_ends_first_leaves_no_thread_in_the_way(tmp_path):
    box = manicule.SqliteOutbox(tmp_path / "outbox.db")

    async def leave():
        await box.open()
        await box.add("one", "x")

    asyncio.run(leave())
    asyncio.run(box.aclose())
    with sqlite3.connect(tmp_path / "outbox.db") as file:
        assert file.execute("SELECT event_id FROM waiting").fetchall() == [("one",)]
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["outbox.db"]
