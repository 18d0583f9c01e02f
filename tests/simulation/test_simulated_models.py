"""Models that stall, break and fall silent at any moment, behind the real chain and answer."""

import asyncio
from collections import Counter

from rig import Rig
from simulated_world import World

from server.llm.breaker import MIN_FAILURES
from server.llm.choosing import MAX_CALLS
from server.llm.deadlines import within_deadlines
from server.llm.port import Finish, TextDelta, UpstreamError, Usage

FIRST_TOKEN_S = 8.0
INTER_TOKEN_S = 5.0
FAST_S = 0.05
"""A question that no model may be asked for is refused in this time."""

MOODS = ("good", "slow", "silent", "stalls", "breaks", "refuses", "forgets to finish")
WORDS = 12


class Moody:
    """A model whose every call goes as the dice say; the words of two calls never mix."""

    def __init__(self, world: World, name: str, moods=MOODS) -> None:
        self.name = name
        self.moods = moods
        self.begun: list[float] = []
        self.open = 0
        self._world = world

    def text(self, call: str) -> str:
        return "".join(f"{call}.{number} " for number in range(WORDS))

    def stream(self, request):
        return within_deadlines(
            self._say(),
            first_token_timeout_s=FIRST_TOKEN_S,
            inter_token_timeout_s=INTER_TOKEN_S,
        )

    async def _say(self):
        dice, mood = self._world.dice, self._world.dice.choice(self.moods)
        self.begun.append(self._world.loop.time())
        call, trips_at = f"{self.name}{len(self.begun)}", dice.randrange(1, WORDS)
        self.open += 1
        try:
            await asyncio.sleep(dice.uniform(0, 0.3))
            if mood == "refuses":
                raise UpstreamError("server", "503")
            if mood == "silent":
                await asyncio.sleep(3600)
            for number in range(WORDS):
                if number == trips_at and mood == "stalls":
                    await asyncio.sleep(3600)
                if number == trips_at and mood == "breaks":
                    raise UpstreamError("connect", "reset")
                yield TextDelta(f"{call}.{number} ")
                await asyncio.sleep(dice.uniform(0, 2.0 if mood == "slow" else 0.05))
            yield Usage(10, WORDS)
            if mood != "forgets to finish":
                yield Finish("stop")
        finally:
            self.open -= 1

    async def check(self):
        """Always there."""

    async def aclose(self):
        """Nothing to give back."""


def check_epochs(listener, models):
    """Each epoch has the words of one call from its first on, and the last one is the answer."""
    epochs = Counter()
    for epoch in {event.epoch for event in listener.events}:
        text = "".join(e.delta for e in listener.events if e.epoch == epoch and hasattr(e, "delta"))
        if text:
            call = text.partition(".")[0]
            assert models[0].text(call).startswith(text), text
        epochs[epoch] = len(text)
    assert len(epochs) <= 2, "begun anew more than once"
    final = listener.events[-1].response
    if final.status == "completed" and final.finish_reason == "stop":
        assert final.output_text == models[0].text(final.output_text.partition(".")[0])
    return final


async def moody_answers(seed):
    world = World(seed)
    models = [Moody(world, "one"), Moody(world, "two")]
    async with Rig(*models, answer_timeout_s=60, timeout_s=100) as rig:
        for number in range(6):
            before = sum(len(model.begun) for model in models)
            listener = rig.start(f"{number}: how?")
            async with asyncio.timeout(100):
                await listener.answer.done.wait()
            check_epochs(listener, models)
            calls = sum(len(model.begun) for model in models) - before
            assert calls <= MAX_CALLS
        await world.until(lambda: not any(model.open for model in models), 1)


def test_f43_f44_f46_whatever_models_do_an_epoch_is_the_text_of_one_call(explore):
    explore(moody_answers)


async def all_down(seed):
    world = World(seed)
    models = [Moody(world, name, ("refuses",)) for name in ("one", "two")]
    async with Rig(*models) as rig:
        for number in range(4 * MIN_FAILURES):
            await rig.ask(f"{number}: how?")
        begun = [len(model.begun) for model in models]
        opened_at = world.loop.time()
        for number in range(40):
            asked_at, calls = world.loop.time(), sum(len(model.begun) for model in models)
            listener = await rig.ask(f"again {number}: how?")
            error = listener.events[-1].response.error
            assert error.retryable
            if sum(len(model.begun) for model in models) == calls:
                assert world.loop.time() - asked_at < FAST_S
                assert error.retry_after_ms > 0
            await asyncio.sleep(world.dice.uniform(0.05, 0.3))
        seconds = world.loop.time() - opened_at
        for model, before in zip(models, begun, strict=True):
            assert len(model.begun) - before <= seconds + 1, "more than one probe a second"
            model.moods = ("good",)
        await asyncio.sleep(20)
        assert (await rig.ask("and now?")).final.status == "completed"


def test_f51_when_all_models_are_down_they_are_left_alone_until_one_is_back(explore):
    explore(all_down, 15)
