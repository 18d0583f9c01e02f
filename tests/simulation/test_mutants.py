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
from test_feedback import break_wires, kill_a_node, storm
from test_manuals import owner_stands_still

from server.feedback import drainer
from server.feedback.outcomes import Ack
from server.feedback.writer import Writer
from server.outbound import transport
from server.outbound.addresses import AddressError
from server.storage.leases import RedisLeases

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
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_each_mistake_is_found(explore, monkeypatch, mutant):
    mutant.make(monkeypatch)
    assert explore.finds(mutant.scenario, WITHIN) < WITHIN


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_without_the_mistake_the_scenario_holds(explore, mutant):
    explore(mutant.scenario, WITHIN // 3)
