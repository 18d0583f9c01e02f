"""The log of answers loses replies, fails and is silent; readers hardly notice."""

import asyncio

from answer_client import Client
from answer_world import AnswerWorld
from test_simulated_answers import begun, of_one_epoch, some_time, two_readers

from server.answering.presence import LEASE_S

GAP_S = 0.25
"""Between two events, whatever the log does."""


async def replies_are_lost(seed):
    run = AnswerWorld(seed)
    for node in run.nodes:
        node.wire.lost_replies = run.world.dice.choice((0.1, 0.5))
    asker, other, reading = await two_readers(run)
    await some_time(run)
    for node in run.nodes:
        node.wire.lost_replies = 0.0
    await reading
    for client in (asker, other):
        client.check()
        await client.check_against_log()
        of_one_epoch(client)
    assert len(run.model.calls) == 1


def test_f33_an_append_whose_reply_is_lost_is_in_the_log_once(explore):
    explore(replies_are_lost)


async def log_goes_away(seed):
    """The log fails, or says nothing, in mid-answer; whoever stays connected hardly sees it."""
    run = AnswerWorld(seed, words=60)
    clients = [Client(run, question=f"{number}: how?") for number in range(2)]
    asking = [asyncio.create_task(client.ask(run.nodes[0])) for client in clients]
    await begun(clients[0], 8)
    await some_time(run, 1.0)
    if run.world.chance(0.5):
        run.log.failing = run.fleet.failing = "it is away"
    else:
        for node in run.nodes:
            node.wire.is_cut = True
    await asyncio.sleep(run.world.dice.uniform(0.2, 5))
    run.log.failing = run.fleet.failing = None
    run.heal()
    await asyncio.gather(*asking)
    for client in clients:
        client.check()
        of_one_epoch(client)
        assert client.longest_gap_s < GAP_S
        assert not client.told["gone 1006"]


def test_f31_f32_while_the_log_is_away_answers_stream_on(explore):
    explore(log_goes_away)


async def log_outlives_leases(seed):
    """The log is away for longer than a lease while another node's client reads along."""
    run = AnswerWorld(seed, words=300)
    asker, other, reading = await two_readers(run)
    await some_time(run, 1.0)
    run.log.failing = run.fleet.failing = "it is away"
    await asyncio.sleep(run.world.dice.uniform(LEASE_S, 2 * LEASE_S))
    run.log.failing = run.fleet.failing = None
    await reading
    for client in (asker, other):
        client.check()
        of_one_epoch(client)
        await client.check_against_log()
    assert len(run.model.calls) == 1


def test_f31_after_a_long_absence_of_the_log_living_writers_keep_their_answers(explore):
    explore(log_outlives_leases, 15)
