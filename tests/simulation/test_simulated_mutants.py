"""The explorer notices what it is for: each mistake is made on purpose, and some seed must show it.

Each scenario holds as the product is, for as many seeds as the mistake is given to be found in.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpcore
import pytest
from feedback_world import FeedbackWorld
from simulated_world import World
from test_simulated_answers import cut_once, departure, served_meanwhile, writer_stands_still
from test_simulated_feedback import break_wires, kill_a_node, storm
from test_simulated_manuals import owner_stands_still
from test_simulated_spending import many_questions
from test_simulated_webhooks import nodes_die

from server.answering.follower import POLL_S, Follower
from server.answering.spending import SpendCapError, Spending
from server.endpoints.socket import Connection
from server.feedback import drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.outbound import transport
from server.outbound.addresses import AddressError
from server.serving import Departure
from server.storage.leases import RedisLeases
from server.storage.response_log import MemoryResponseLog
from server.webhooks.delivering import Deliverer

WITHIN = 60
"""Seeds in which each mistake must show itself."""


async def killed(seed):
    await storm(FeedbackWorld(seed), kill_a_node)


async def cut_off(seed):
    await storm(FeedbackWorld(seed), break_wires)


class EagerWriter(Writer):
    """Acknowledges what it has only queued."""

    async def submit(self, row, *, min_level="logged"):
        asyncio.create_task(super().submit(row, min_level=min_level)).add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )
        await asyncio.sleep(0)
        return Ack("committed", duplicate=False)


def ack_before_commit(patch):
    patch.setattr("feedback_world.Writer", EagerWriter)


class EagerDrainer(drainer.Drainer):
    """Deletes from the journal what it is about to store."""

    async def _next(self):
        entries = await super()._next()
        await self._journal.done([entry.id for entry in entries])
        return entries


def drain_before_store(patch):
    patch.setattr("feedback_world.Drainer", EagerDrainer)


def lease_without_owner_check(patch):
    async def is_ours(self, lease):
        return True

    patch.setattr(RedisLeases, "_is_ours", is_ours)


async def rebinding(seed):
    """The host's name means another address each time, public ones and our own."""
    world, connected = World(seed), []

    async def resolver(host, port):
        await asyncio.sleep(world.dice.uniform(0, 0.01))
        return [world.dice.choice(("8.8.8.8", "1.1.1.1", "127.0.0.1"))]

    class Sockets:
        async def connect_tcp(self, address, port, **options):
            connected.append(address)
            raise httpcore.ConnectError("nobody there")

    backend = transport.CheckedBackend(allow_private=False, resolver=resolver)
    backend._sockets = Sockets()
    for _ in range(3):
        with pytest.raises((AddressError, httpcore.ConnectError)):
            await backend.connect_tcp("vendor.example", 443)
    assert "127.0.0.1" not in connected


def no_dns_pin(patch):
    addresses = transport.CheckedBackend._addresses

    async def resolved_again(self, host, port):
        await addresses(self, host, port)
        return await self._resolve(host, port)

    patch.setattr(transport.CheckedBackend, "_addresses", resolved_again)


def snapshot_then_subscribe(patch):
    """What is logged between the reading of the past and the first look for news is not seen."""
    opened = Follower.open

    async def open_and_look_from_now(self, response_id):
        topic = await opened(self, response_id)
        followed = self._followed.get(response_id)
        if followed is not None:
            await asyncio.sleep(POLL_S)
            news = await self._log.read(response_id, followed.after)
            followed.after = news[-1].position if news else followed.after
        return topic

    patch.setattr(Follower, "open", open_and_look_from_now)


def no_fence(patch):
    """The log takes what it is given, from whomever."""

    def append(self, response_id, entry):
        self.streams.setdefault(response_id, []).append(entry)
        return True

    patch.setattr(MemoryResponseLog, "_append", append)


def no_receive_task(patch):
    """A connection reads its next frame when the answers it streams have ended."""
    receive = Connection._receive

    class BetweenAnswers:
        def __init__(self, connection):
            self._connection, self._websocket = connection, connection._websocket

        def __getattr__(self, name):
            return getattr(self._websocket, name)

        async def receive(self):
            while self._connection._reading._readers:  # noqa: ASYNC110 - a mistake on purpose
                await asyncio.sleep(0.01)
            return await self._websocket.receive()

    async def receive_between_answers(self):
        self._websocket = BetweenAnswers(self)
        await receive(self)

    patch.setattr(Connection, "_receive", receive_between_answers)


def drain_after_uvicorn(patch):
    """The server is told to shut down, and then the answers are waited for."""
    drain = Departure._drain

    async def exit_first(self):
        self._server.should_exit = True
        await drain(self)

    patch.setattr(Departure, "_drain", exit_first)


def look_then_spend(patch):
    """The sum is read, and what a call may cost is added afterwards."""

    async def take(self, hold, nano_usd):
        for account in hold.accounts:
            total = await self._book.add(account.name, hold.day, 0)
            if total + nano_usd > account.cap:
                raise SpendCapError(account.scope, 1000)
            await self._book.add(account.name, hold.day, nano_usd)
        hold.nano_usd = nano_usd

    patch.setattr(Spending, "_take", take)


def settle_before_sending(patch):
    """A notice leaves the outbox, and is sent then."""
    settle = Deliverer._settle

    async def settle_first(self, endpoint, one, loan):
        await self._outbox.delivered(one.number, loan)
        return await settle(self, endpoint, one, loan)

    patch.setattr(Deliverer, "_settle", settle_first)


@dataclass(frozen=True)
class Mutant:
    """A mistake, and the scenario that some seed must fail because of it."""

    make: Any
    scenario: Any

    def __str__(self):
        return self.make.__name__


MUTANTS = [
    Mutant(ack_before_commit, killed),
    Mutant(drain_before_store, cut_off),
    Mutant(lease_without_owner_check, owner_stands_still),
    Mutant(no_dns_pin, rebinding),
    Mutant(snapshot_then_subscribe, cut_once),
    Mutant(no_fence, writer_stands_still),
    Mutant(no_receive_task, served_meanwhile),
    Mutant(drain_after_uvicorn, departure),
    Mutant(look_then_spend, many_questions),
    Mutant(settle_before_sending, nodes_die),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_each_mistake_is_found(explore, monkeypatch, mutant):
    mutant.make(monkeypatch)
    assert explore.finds(mutant.scenario, WITHIN) < WITHIN


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_without_the_mistake_the_scenario_holds(explore, mutant):
    explore(mutant.scenario, WITHIN // 6)
