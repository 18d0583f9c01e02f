"""What a socket was made of is gone when it is."""

import asyncio
import gc
from collections import Counter

from rig import Rig, Told, serving, until
from wire import open_client

OF_A_SOCKET = {"Connection", "Outbox", "Visit", "SocketProtocol"}

OF_A_CONNECTION = OF_A_SOCKET | {"HttpProtocol", "Session", "Reading", "ServerProtocol"}

OF_THE_SERVER = ("server.", "protocol.", "websockets.server")
OF_US = ("server.", "_asyncio")


def living() -> Counter[str]:
    """How many there are of what sockets and answers are made of, and of tasks, ended or not."""
    gc.collect()
    names = {*OF_A_SOCKET, "RunningAnswer", "Task"}
    kinds = (type(one) for one in gc.get_objects())
    found = Counter((kind.__name__, kind.__module__) for kind in kinds if kind.__name__ in names)
    # Libraries have connections too.
    ours = ((name, number) for (name, of), number in found.items() if of.startswith(OF_US))
    return Counter(dict(ours))


async def come_and_go(url: str, number: int, name: str) -> None:
    for one in range(number):
        async with open_client(url) as client:
            if one % 2:
                await client.ask(f"How do I change the {name} {one}?", event_id="q")
                await client.final("q")


async def quiet(rig: Rig) -> None:
    """Let the loop finish with sockets that have ended: a look at all objects would hold it up."""
    await until(lambda: not rig.node.connections)
    for _ in range(100):
        await asyncio.sleep(0)


async def test_nothing_is_left_of_sockets_that_came_and_went():
    async with Rig(Told("Change it.")) as rig, serving(rig) as url:
        await come_and_go(url, 2, "battery")  # what starts at first use has started
        await quiet(rig)
        async with open_client(url):
            during = living()
        await quiet(rig)
        await until(lambda: set(during - living()) >= OF_A_SOCKET)
        before = living()
        await come_and_go(url, 40, "strap")
        await quiet(rig)
        await until(lambda: not living() - before)


async def test_what_a_socket_was_made_of_is_gone_without_the_collector():
    """A cycle stays until the collector finds it: memory for the while, and then a long pause."""

    def made() -> Counter[str]:
        kinds = [type(one) for one in gc.get_objects() if type(one).__name__ in OF_A_CONNECTION]
        return Counter(kind.__name__ for kind in kinds if kind.__module__.startswith(OF_THE_SERVER))

    async with Rig(Told("Change it.")) as rig, serving(rig) as url:
        await come_and_go(url, 2, "battery")
        await quiet(rig)
        gc.collect()
        gc.disable()
        try:
            before = made()
            async with open_client(url):
                assert set(made() - before) >= OF_A_CONNECTION - {"HttpProtocol"}
                assert "HttpProtocol" not in made() - before  # gone since the upgrade
            await come_and_go(url, 10, "strap")
            await quiet(rig)
            await until(lambda: not made() - before)
        finally:
            gc.enable()
