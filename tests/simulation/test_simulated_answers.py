"""Answers through cuts, deaths and pauses: every reader gets every event, once and in order."""

import asyncio

from answer_client import Client
from answer_world import GRACE_S, AnswerWorld
from simulated_socket import LONGEST_HALF_OPEN_S

TAKEN_OVER_S = 5.0
"""After a node died another one writes its answers by then."""

CANCELLED_S = 0.25
"""From a cancel to the end of the call upstream."""

SERVED_S = 0.1
"""A message in mid-answer is answered in this time."""

LATE_S = 0.2
"""From the model's last word to the end of the answer: a tick, the log and the way."""

REST_S = 10.0
"""An answer that was begun anew and that nobody reads any more has come to its own end by then."""

FENCED_S = 2.5
"""A node that comes back knows by then that another one writes its answer."""


async def begun(client, events=1):
    await client.run.world.until(lambda: len(client.events) >= events, 20)


async def some_time(run, longest_s=1.5):
    await asyncio.sleep(run.world.dice.uniform(0, longest_s))


def at_work(run, client):
    """The nodes that generate the client's answer."""
    return [node for node in run.living() if client.response_id in node.rig.answering.running]


def of_one_epoch(client):
    assert client.final["status"] == "completed"
    assert {event["epoch"] for event in client.events} == {1}


async def cut_once(seed):
    run = AnswerWorld(seed)
    client = Client(run)
    asking = asyncio.create_task(client.ask(run.nodes[0]))
    await begun(client)
    await some_time(run)
    client.socket.cut()
    await asking
    client.check()
    await client.check_against_log()
    of_one_epoch(client)
    assert len(run.model.calls) == 1


def test_f23_a_cut_socket_goes_on_at_another_node(explore):
    explore(cut_once)


async def cut_often(seed):
    run = AnswerWorld(seed)
    client = Client(run)
    asking = asyncio.create_task(client.ask())
    for _ in range(10):
        await some_time(run, 0.3)
        if client.socket is not None:
            client.socket.cut()
    await asking
    client.check()
    of_one_epoch(client)


def test_f25_ten_cuts_from_node_to_node(explore):
    explore(cut_often)


async def two_readers(run):
    """One client that asks at the first node and one that reads along at another."""
    asker, other = Client(run), Client(run)
    asking = asyncio.create_task(asker.ask(run.nodes[0]))
    await begun(asker)
    reading = asyncio.create_task(other.follow(asker.response_id, run.nodes[1]))
    return asker, other, asyncio.gather(asking, reading)


async def writer_dies(seed):
    run = AnswerWorld(seed)
    asker, other, reading = await two_readers(run)
    await some_time(run)
    dead = run.nodes[0]
    was_writing = run.writer_of(asker.response_id) is dead
    dead.kill()
    if was_writing:
        died_at = run.world.loop.time()
        await run.world.until(lambda: run.writer_of(asker.response_id), TAKEN_OVER_S)
        run.world.note(f"taken over after {run.world.loop.time() - died_at:.3f} s")
    await reading
    for client in (asker, other):
        client.check()
        await client.check_against_log()
        assert client.final["status"] == "completed"
    assert len(run.model.calls) <= 2


def test_f26_when_the_writing_node_dies_another_begins_anew(explore):
    explore(writer_dies)


async def writer_is_cut_off(seed):
    run = AnswerWorld(seed, words=60)
    asker, other, reading = await two_readers(run)
    await some_time(run)
    zombie = run.nodes[0]
    zombie.wire.is_cut = True
    await asyncio.sleep(run.world.dice.uniform(0.5, 12))
    zombie.wire.is_cut = False
    await asyncio.sleep(FENCED_S)
    assert len(at_work(run, asker)) <= 1
    await reading
    for client in (asker, other):
        client.check()
    await other.check_against_log()


def test_f27_a_node_cut_off_and_back_mixes_nothing_into_the_answer(explore):
    explore(writer_is_cut_off)


async def one_reads_slowly(seed):
    run = AnswerWorld(seed, nodes=2, words=100)
    fast, slow = Client(run), Client(run)
    asking = asyncio.create_task(fast.ask(run.nodes[0]))
    await begun(fast)
    slow.read_pause_s = run.world.dice.uniform(0.05, 0.5)
    reading = asyncio.create_task(slow.follow(fast.response_id, run.world.dice.choice(run.nodes)))
    await asking
    assert fast.ended_at - run.model.calls[0].ended_at < LATE_S
    await reading
    for client in (fast, slow):
        client.check()
        of_one_epoch(client)
        await client.check_against_log()


def test_f28_a_slow_reader_gets_all_and_holds_back_nobody(explore):
    explore(one_reads_slowly, 15)


async def cancelled(seed):
    run = AnswerWorld(seed, words=200)
    client = Client(run)
    asking = asyncio.create_task(client.ask(run.nodes[0]))
    await begun(client)
    await some_time(run)
    if run.world.chance(0.5):
        client.socket.cut()  # and cancel from another node
        await run.world.until(lambda: client.told["response.resumed"], 5)
    cancelled_at = run.world.loop.time()
    client.socket.send(type="response.cancel", response_id=client.response_id)
    await asking
    client.check()
    await client.check_against_log()
    assert client.final["status"] == "cancelled"
    assert not run.model.running
    assert all(call.ended_at - cancelled_at < CANCELLED_S for call in run.model.calls)
    counted(run, len(run.model.calls))


def counted(run, calls):
    """Each call's tokens are in the metrics of one node, once."""
    spent = sum(node.rig.moved("tokens_total", "words", "output") for node in run.nodes)
    assert (spent > 0) == any(call.said for call in run.model.calls)
    first = ("upstream_attempts_total", "words", "first")
    assert sum(node.rig.moved(*first) for node in run.nodes) == calls


def test_f35_a_cancel_from_any_node_ends_the_call(explore):
    explore(cancelled)


async def client_is_gone(seed):
    client = Client(run := AnswerWorld(seed, words=600, pause_s=0.2))
    asking = asyncio.create_task(client.ask(run.nodes[0]))
    await begun(client)
    await some_time(run)
    asking.cancel()
    client.socket.cut()
    gone_at = run.world.loop.time()
    await run.world.until(lambda: not run.model.running, GRACE_S + LONGEST_HALF_OPEN_S + 1)
    assert run.world.loop.time() - gone_at >= GRACE_S - 0.1
    rig = run.nodes[0].rig
    await run.world.until(lambda: not rig.answering.running, 1)
    counted(run, 1)
    await run.world.until(lambda: rig.store._interactions, 2)
    [row] = rig.store._interactions.values()
    assert row.outcome == "abandoned"


def test_f35_an_answer_that_nobody_reads_stops_and_is_counted_once(explore):
    explore(client_is_gone, 8)


async def writer_stands_still(seed):
    run = AnswerWorld(seed, words=60)
    asker, other, reading = await two_readers(run)
    await some_time(run)
    await run.world.pause(run.nodes[0].place, run.world.dice.uniform(0.5, 12))
    await asyncio.sleep(FENCED_S)
    assert len(at_work(run, asker)) <= 1
    await reading
    for client in (asker, other):
        client.check()
        await client.check_against_log()


def test_f80_a_node_that_stood_still_is_fenced(explore):
    explore(writer_stands_still)


async def departure(seed):
    """SIGTERM in mid-answer: there is time for the rest, or another node begins anew."""
    run = AnswerWorld(seed)
    dice = run.world.dice
    clients = [Client(run, question=f"{number}: how?") for number in range(4)]
    asking = [asyncio.create_task(client.ask(run.nodes[0])) for client in clients]
    await begun(clients[0])
    await some_time(run)
    drain_s = dice.choice((25.0, dice.uniform(0, 1)))
    run.nodes[0].depart(drain_s)
    await asyncio.gather(*asking)
    for client in clients:
        client.check()
        assert client.final["status"] == "completed"
        if drain_s == 25.0:
            of_one_epoch(client)
            assert not client.told["gone 1006"], "cut before the end"
    await run.world.until(lambda: not run.nodes[0].alive, 1)


def test_f77_a_server_that_goes_away_cuts_no_answer_off(explore):
    explore(departure, 20)


async def served_meanwhile(seed):
    """While the answer streams, pings are answered and further questions begin."""
    run = AnswerWorld(seed, nodes=1)
    client = Client(run)
    asking = asyncio.create_task(client.ask())
    await begun(client)
    for number in range(1, 5):
        await some_time(run, 0.3)
        if client.final is None:
            client.socket.send(type="ping")
            await run.world.until(lambda number=number: client.told["pong"] == number, SERVED_S)
    await asking
    client.check()


def test_f37_while_an_answer_streams_other_messages_are_served(explore):
    explore(served_meanwhile, 20)


async def storm(seed):
    """Cuts, deaths, pauses, partitions, lost replies and turned clocks, all at once."""
    run = AnswerWorld(seed, nodes=3, words=80)
    dice = run.world.dice
    clients = [Client(run, question=f"{number}: how?") for number in range(3)]
    asking = [asyncio.create_task(client.ask()) for client in clients]
    for _ in range(dice.randint(2, 8)):
        await some_time(run)
        node = dice.choice(run.nodes)
        match dice.choice(("cut", "kill", "pause", "part", "lose", "clock")):
            case "cut":
                if (socket := dice.choice(clients).socket) is not None:
                    socket.cut()
            case "kill":
                run.restart(node)
            case "pause":
                run.pausing(node, dice.uniform(0.1, 10))
            case "part":
                node.wire.is_cut = not node.wire.is_cut
            case "lose":
                node.wire.lost_replies = dice.choice((0.0, 0.3, 0.8))
            case "clock":
                node.rig.now += dice.choice((-3600, 5, 3600))
    run.heal()
    await asyncio.gather(*asking)
    for client in clients:
        client.check()
    await run.quiet(FENCED_S)
    await run.world.until(lambda: not any(at_work(run, client) for client in clients), REST_S)


def test_f23_f25_f26_f27_f33_f80_f81_under_all_faults_every_reader_reads_one_answer(explore):
    explore(storm, 30)
