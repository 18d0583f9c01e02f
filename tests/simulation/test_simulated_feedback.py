"""Judgements under every schedule: what was acknowledged is stored, once, as it was sent."""

import asyncio

from feedback_world import FAULTS_S, FeedbackWorld
from local_disk import LocalDisk
from simulated_world import LONGEST_PAUSE_S, World

TAKEN_OVER_S = 10.0
"""The journal of a killed process is in other hands by then."""


async def storm(run: FeedbackWorld, fault, *, clients: int = 3, judgements: int = 8) -> None:
    """Let clients send while `fault(run)` happens again and again; then heal and settle."""
    sending = [
        asyncio.create_task(run.client(judgements, FAULTS_S / judgements)) for _ in range(clients)
    ]
    end = run.world.loop.time() + FAULTS_S
    while run.world.loop.time() < end:
        await asyncio.sleep(run.world.dice.uniform(0.01, 1.0))
        await fault(run)
    run.heal()
    async with asyncio.timeout(60):
        await asyncio.gather(*sending)
    await run.settle()


async def kill_a_node(run):
    run.restart(run.world.dice.choice(run.nodes))


async def break_wires(run):
    """Any wire is cut, loses, dawdles or is whole again."""
    node = run.world.dice.choice(run.nodes)
    for wire in (node.to_store, node.to_journal):
        wire.is_cut = run.world.chance(0.3)
        wire.lost_replies = run.world.dice.choice((0.0, 0.0, 0.3, 0.9))
        wire.lost_requests = run.world.dice.choice((0.0, 0.0, 0.3))
        wire.delay_s = run.world.dice.choice(((0.0001, 0.002), (0.0, 0.0), (0.01, 0.6)))


async def lose_replies(run):
    """What the store did is not confirmed."""
    for node in run.nodes:
        node.to_store.lost_replies = run.world.dice.choice((0.0, 0.5, 1.0))


async def stand_still(run):
    node = run.world.dice.choice(run.nodes)
    await run.world.pause(node.place, run.world.dice.uniform(0.1, LONGEST_PAUSE_S))


async def turn_clocks(run):
    for node in run.nodes:
        node.place.skew_s = run.world.dice.choice((0.0, 5.0, -5.0, 3600.0, -3600.0))


async def anything(run):
    fault = run.world.dice.choice(
        (kill_a_node, break_wires, lose_replies, stand_still, turn_clocks)
    )
    run.world.note(fault.__name__)
    await fault(run)


def test_f1_killed_at_any_moment_nothing_acknowledged_is_lost(explore):
    async def scenario(seed):
        await storm(FeedbackWorld(seed), kill_a_node)

    explore(scenario)


def test_f5_a_commit_whose_reply_is_lost_is_one_row(explore):
    async def scenario(seed):
        await storm(FeedbackWorld(seed), lose_replies)

    explore(scenario)


def test_f17_when_the_power_goes_what_was_acknowledged_is_on_the_disk(explore):
    async def lose_power(run):
        for node in tuple(run.nodes):
            run.restart(node)
        for _ in range(5):  # it goes again while the machine starts
            await run.store.lose_power()

    async def scenario(seed):
        disk = LocalDisk(World(seed))
        await storm(FeedbackWorld(seed, nodes=1, store=disk), lose_power)

    explore(scenario)


def test_f18_a_failed_sync_is_never_tried_again(explore):
    async def fail_to_sync(run):
        run.store.sync_fails = "SQLITE_IOERR_FSYNC"
        [node] = run.nodes
        await run.world.until(lambda: not run.store.sync_fails, FAULTS_S)
        await asyncio.sleep(0.1)
        acked = node.counts["committed"]
        assert node.fatal
        await asyncio.sleep(1)
        assert node.counts["committed"] == acked
        assert not run.store.attempts_after_failure
        run.restart(node)
        await run.store.lose_power()

    async def scenario(seed):
        run = FeedbackWorld(seed, nodes=1, store=LocalDisk(World(seed)), with_journal=False)
        run.world.expect("writer_stopped")
        await storm(run, fail_to_sync, judgements=30)

    explore(scenario, 20)


def test_f18_a_full_disk_is_waited_out(explore):
    async def fill(run):
        run.store.sync_fails = "SQLITE_FULL"

    async def scenario(seed):
        run = FeedbackWorld(seed, nodes=1, store=LocalDisk(World(seed)))
        await storm(run, fill)
        assert not run.nodes[0].fatal

    explore(scenario, 20)


def test_f19_a_cut_entry_of_the_journal_is_kept_as_it_is_and_counted(explore):
    async def scenario(seed):
        run = FeedbackWorld(seed)
        dice = run.world.dice
        run.nodes[0].to_store.is_cut = run.nodes[1].to_store.is_cut = True
        await asyncio.gather(*(run.send(run.row(), dice.choice(run.nodes)) for _ in range(20)))
        logged = [key for key, level in run.owed.acked.items() if level == "logged"]
        assert len(logged) == 20
        held = dice.choice(list(run.journal._entries.values()))
        cut = held.entry.data[: dice.randrange(len(held.entry.data))]
        held.entry = type(held.entry)(held.entry.id, cut)
        run.heal()
        await asyncio.sleep(TAKEN_OVER_S)
        assert await run.journal.size() == 0
        [letter] = await run.store.dead_letters(10)
        assert letter.original == cut
        assert sum(node.counts["drained_unreadable"] for node in run.nodes) >= 1
        verdict = await run.owed.settle(run.store)
        assert len(verdict.missing) == 1
        assert not verdict.duplicate + verdict.spurious + verdict.payload

    explore(scenario, 20)


def test_f20_another_process_goes_on_draining(explore):
    async def scenario(seed):
        run = FeedbackWorld(seed, nodes=3)
        dice = run.world.dice
        for node in run.nodes:
            node.to_store.is_cut = True
        rows = [run.row() for _ in range(40)]
        await asyncio.gather(*(run.send(row, dice.choice(run.nodes)) for row in rows))
        assert await run.journal.size()
        run.heal()
        await asyncio.sleep(dice.uniform(0, 0.6))
        for _ in range(2):
            dice.choice([node for node in run.nodes if node.alive]).kill()
        await run.world.until(lambda: not run.journal._entries, TAKEN_OVER_S)
        run.nodes = [node for node in run.nodes if node.alive]
        await run.settle()

    explore(scenario)


def test_f1_f5_f20_under_all_faults_at_once_nothing_is_lost_or_twice(explore):
    async def scenario(seed):
        await storm(FeedbackWorld(seed, nodes=3), anything)

    explore(scenario, 30)
