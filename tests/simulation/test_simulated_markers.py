"""Markers cut anywhere, read by several answers of one model call, under every schedule."""

import asyncio

from explorer import simulate
from rig import QUOTE, Rig
from simulated_world import World

from server.llm.port import Finish, TextDelta

TEXTS = (
    f'Change it. [MANUAL: p.2 "{QUOTE}"] [PRO TIP: Keep a [good] spare.] Done.',
    f'[WARNING: Mind\nthe gap][FOLLOW UP: And then?] [MANUAL: p.2 "{QUOTE}"]',
    "Half a marker [PRO TIP: that never closes, and 👍 text behind it",
    "[PRO TIP:] takes its line\n[NO SUCH: thing] [SUGGESTION: KT-10 kick trigger] [[",
)


class Cut:
    """A model that says a text in pieces of any size with any pauses."""

    name = "cut"

    def __init__(self, world, text):
        self._world = world
        self.text = text
        self.calls = 0

    async def stream(self, request):
        self.calls += 1
        dice, at = self._world.dice, 0
        while at < len(self.text):
            end = at + dice.choice((1, 1, 2, 5, 40))
            yield TextDelta(self.text[at:end])
            at = end
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.01, 0.05)))
        yield Finish("stop")

    async def check(self):
        """Always there."""

    async def aclose(self):
        """Nothing to give back."""


def seen(listener):
    """What a client makes of an answer: its text and items, by the offsets they belong at."""
    final = listener.final
    assert final.output_text == listener.text
    assert list(final.items) == [event.item for event in listener.events if hasattr(event, "item")]
    return final.output_text, final.items


class Whole(Cut):
    """A model that says a text in one piece."""

    async def stream(self, request):
        yield TextDelta(self.text)
        yield Finish("stop")


def said_whole():
    """What each text gives in one piece."""
    expected = {}

    async def ask_all(seed):
        for text in TEXTS:
            async with Rig(Whole(None, text)) as rig:
                expected[text] = seen(await rig.ask())

    simulate(ask_all, 0)
    return expected


def test_f38_cut_anywhere_every_reader_of_a_call_gets_the_same_answer(explore):
    expected = said_whole()

    async def cut_anywhere(seed):
        world = World(seed)
        model = Cut(world, world.dice.choice(TEXTS))
        async with Rig(model) as rig:
            listeners = []
            for _ in range(3):
                listeners.append(rig.start())
                await asyncio.sleep(world.dice.uniform(0, 0.2))
            for listener in listeners:
                await listener.end()
                assert seen(listener) == expected[model.text]
        assert model.calls == 1

    explore(cut_anywhere)
