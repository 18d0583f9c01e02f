"""A whole fleet behind a real HAProxy: nodes go and come while clients ask and judge."""

import asyncio
import json
import uuid
from contextlib import AsyncExitStack

import httpx
import pytest
from fleet import Fleet, wait_for
from lasting_client import LastingClient
from rig import manuals_folder
from wire import open_client

CLIENTS = 12
# Long enough that answers run while nodes go: about three seconds each.
STEPS = [{"text": f"Word {n} of the answer. ", "delay_ms": 100} for n in range(30)]
EXPECTED = "".join(step["text"] for step in STEPS).strip()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "script.json").write_text(json.dumps(STEPS))
    settings = {"model": f"scripted:{folder / 'script.json'}"}
    settings["manuals"] = str(manuals_folder(folder / "manuals"))
    with Fleet(3, **settings) as started:
        yield started
        denied = [server.run_as_admin("ACL", "LOG") for server in started.redis]
        assert denied == [[], []], "the users of both Redis may do all that is needed"


async def ask_and_judge(fleet, name):
    """One answer and its judgement, through whatever happens."""
    question = f"How do I change the battery? {name}"
    client = await LastingClient(fleet.url, question, "td-17", name).run()
    event_id = str(uuid.uuid4())
    await client.judge(event_id)
    return client, event_id


async def under_load(fleet, disturb):
    """Clients that ask and judge while `disturb` runs in a thread, and until it has ended."""
    done = asyncio.Event()
    finished = []

    async def go_on(number):
        turn = 0
        while not done.is_set():
            finished.append(await ask_and_judge(fleet, f"{number}-{turn}"))
            turn += 1

    clients = [asyncio.create_task(go_on(number)) for number in range(CLIENTS)]
    try:
        result = await asyncio.to_thread(disturb)
    finally:
        done.set()
        await asyncio.gather(*clients)
    return result, finished


def check(fleet, finished):
    """Every answer whole, every acknowledged judgement in the store, once."""
    for client, _ in finished:
        assert client.final["status"] == "completed", client.final
        assert client.final["output_text"] == client.text
        assert client.text.strip() == EXPECTED
    ids = [event_id for _, event_id in finished]
    statement = "SELECT event_id::text FROM feedback WHERE event_id = ANY($1::text[]::uuid[])"

    def stored():
        return sorted(row["event_id"] for row in fleet.store.run(statement, ids))

    wait_for(lambda: stored() == sorted(ids), "every acknowledged judgement in the store")


async def test_f78_nobody_notices_a_rolling_restart(fleet):
    codes, finished = await under_load(fleet, fleet.roll)
    assert codes == [0, 0, 0]
    assert len(finished) >= CLIENTS
    check(fleet, finished)
    assert {code for client, _ in finished for code in client.errors} <= {"draining"}


async def test_f26_f23_a_node_that_dies_costs_no_answer_and_no_judgement(fleet):
    victim = fleet.nodes[0]

    def kill():
        busy = f"{victim.url}/metrics"
        wait_for(lambda: "answers_running 0.0" not in httpx.get(busy).text, "a busy node")
        victim.kill()
        wait_for(lambda: not fleet.balanced(victim), "the balancer to notice")
        victim.start()
        wait_for(lambda: fleet.balanced(victim), "the node behind the balancer again")

    _, finished = await under_load(fleet, kill)
    check(fleet, finished)
    assert any(client.losses for client, _ in finished), "somebody was connected to it"


async def test_a_new_node_gets_its_part_of_the_clients(fleet):
    added = await asyncio.to_thread(fleet.add)
    await asyncio.to_thread(wait_for, lambda: fleet.balanced(added), "the new node")

    def has_clients():
        lines = httpx.get(f"{added.url}/metrics", trust_env=False).text.splitlines()
        return "manicule_connections 0.0" not in lines

    async with AsyncExitStack() as stack:
        for _ in range(2 * len(fleet.nodes)):
            await stack.enter_async_context(open_client(fleet.url))
        await asyncio.to_thread(wait_for, has_clients, "a client on the new node")
    check(fleet, await asyncio.gather(*(ask_and_judge(fleet, f"new-{n}") for n in range(CLIENTS))))
