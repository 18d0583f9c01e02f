"""The time of day is set while the server works: nothing expires at once, nothing is lost."""

import asyncio
import time
import uuid
from pathlib import Path

import httpx
import pytest
from feedback_rig import uuid7
from rig import WAIT_S, manuals_folder
from wire import DELTA, open_client

PROGRAM = Path(__file__).parents[1] / "fakes" / "clocked_server.py"
HOUR_S = 3600
FLOWING = [{"text": "First "}, {"tokens": 60, "rate_per_s": 40}]


@pytest.fixture(scope="module")
def clock_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("clock") / "clock"
    file.write_text("0")
    return file


@pytest.fixture
def clock(clock_file):
    """Sets how far off the server's time of day is."""

    def set_off(seconds):
        new = clock_file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(clock_file)

    yield set_off
    set_off(0)


@pytest.fixture(scope="module")
def target(server, clock_file, tmp_path_factory):
    folder = manuals_folder(tmp_path_factory.mktemp("manuals"))
    late = folder / "late.md"
    late.write_text("")  # a manual without text is a failure, remembered for a second
    catalog = folder / "catalog.toml"
    catalog.write_text(
        f'[[product]]\nid = "td-17"\nname = "TD-17"\nmanual = {{ path = "{folder}/td-17.md" }}\n'
        f'[[product]]\nid = "late"\nname = "Late"\nmanual = {{ path = "{late}" }}\n'
    )
    program = (str(PROGRAM), str(clock_file))
    made = server(FLOWING, "--catalog", str(catalog), program=program, manual_negative_ttl_s="1")
    made.late = late
    return made


async def judge(client, response_id, event_id, **fields):
    """The answer to a judgement."""
    event = {"event_id": event_id, "response_id": response_id, "action": "accept", **fields}
    await client.send("feedback.create", **event)
    return await client.until(
        lambda e: (
            (e["type"] == "feedback.acknowledged" and e["event_id"] == event_id)
            or e.get("error", {}).get("event_id") == event_id
        )
    )


async def test_f81_a_running_answer_does_not_notice_that_the_clock_is_set(target, clock):
    async with open_client(target.url) as client:
        began = time.monotonic()
        await client.ask(event_id="q")
        await client.until(lambda e: e["type"] == DELTA)
        for off in (HOUR_S, -HOUR_S, 1, 0):
            clock(off)
            await client.send("ping")
            await client.until("pong")
        final = await client.final("q")
        took_ms = (time.monotonic() - began) * 1000
    assert final["status"] == "completed"
    # The figures of the answer are of its own time, not of the clock's.
    assert 0 < final["timing_ms"]["first_token"] <= final["timing_ms"]["total"] <= took_ms


@pytest.mark.parametrize("off", [HOUR_S, -HOUR_S])
async def test_f81_what_was_kept_is_still_there(target, clock, off):
    """The answer is kept for an hour; the clock says that it is over, or not yet made."""
    async with open_client(target.url) as client:
        question = f"What is kept for {off} seconds?"
        await client.ask(question, event_id="first")
        assert (await client.final("first"))["cache"]["answer"] == "miss"
        clock(off)
        await client.ask(question, event_id="second")
        assert (await client.final("second"))["cache"]["answer"] == "hit"
    async with open_client(target.url) as client:  # and new sockets are served
        await client.ask(f"Something else than {off}?", event_id="third")
        assert (await client.final("third"))["status"] == "completed"
    reply = await asyncio.to_thread(httpx.get, f"{target.url}/ready", trust_env=False)
    assert reply.status_code == 200


async def test_f81_a_failure_is_forgotten_in_its_time_although_the_clock_went_back(target, clock):
    async def status_of(number):
        await client.ask(f"Number {number}?", event_id=str(number), product_id="late")
        await client.final(str(number))
        return [e["manual"]["status"] for e in client.seen if "manual" in e][-1]

    async with open_client(target.url) as client:
        clock(HOUR_S)
        assert await status_of(0) == "unavailable"
        clock(0)
        target.late.write_text("# Late\n\nThe battery is under the lid.")
        async with asyncio.timeout(WAIT_S):
            number = 1
            while await status_of(number) == "unavailable":
                number += 1


@pytest.mark.parametrize("off", [5, -5])
async def test_f81_a_node_five_seconds_off_takes_feedback_of_others(target, clock, off):
    """Receipts and ids of a node or client whose clock differs are as good as its own."""
    clock(off)
    async with open_client(target.url) as client:
        await client.ask(event_id="q")
        final = await client.final("q")
        clock(0)
        acks = [
            await judge(client, final["id"], uuid7(), receipt=final["receipt"]),
            await judge(client, final["id"], str(uuid.uuid4()), receipt=final["receipt"]),
        ]
    assert [ack["type"] for ack in acks] == ["feedback.acknowledged"] * 2
    assert {ack["level"] for ack in acks} == {"committed"}


async def test_f81_ids_stay_unique_while_the_clock_goes_back(target, clock):
    async with open_client(target.url) as client:
        for number, off in enumerate((0, -HOUR_S, 0, HOUR_S, -HOUR_S)):
            clock(off)
            await client.ask(f"Number {number}?", event_id=str(number))
        ids = [(await client.final(str(number)))["id"] for number in range(5)]
    assert len(set(ids)) == 5
