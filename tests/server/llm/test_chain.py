import asyncio
from contextlib import aclosing

import pytest

from server.llm.chain import Attempt, Chain, ChainError, Ended, Reset, build_chain, split_spec
from server.llm.port import Finish, ModelRequest, TextDelta, UpstreamError, Usage

REQUEST = ModelRequest(system="s", manual="m" * 39, question="q")


def scripted(*parts: str, **options) -> Chain:
    return build_chain(",".join(parts), **options)


def inline(steps: str) -> str:
    return f"scripted:[{steps}]"


FAILING = inline('{"error": "upstream_error"}')
LIMITED = inline('{"error": "rate_limited", "retry_after_s": 7}')
REFUSED = inline('{"error": "refused"}')
BREAKING = inline('{"text": "half"}, {"error": "connect"}')
GOOD = inline('{"text": "one, "}, {"text": "two"}')


async def collect(chain: Chain) -> list:
    return [event async for event in chain.stream(REQUEST)]


async def test_one_model_answers():
    events = await collect(scripted(GOOD))
    assert events[0] == Attempt(1, "scripted", "first")
    assert events[1:] == [
        TextDelta("one, "),
        TextDelta("two", is_last=True),
        Usage(11, 2, estimated=True),
        Finish("stop"),
    ]


async def test_f40_failure_before_the_first_token_goes_to_the_next_model():
    failed = []
    chain = scripted(FAILING, GOOD, on_error=lambda *seen: failed.append(seen))
    events = await collect(chain)
    assert events[:3] == [
        Attempt(1, "scripted", "first"),
        Ended(1, Usage(0, 0)),
        Attempt(2, "scripted", "retry"),
    ]
    assert events[-1] == Finish("stop")
    assert failed == [("scripted", "server")]


async def test_extractive_behind_another_is_announced_as_a_fallback():
    events = await collect(scripted(FAILING, "extractive"))
    assert events[2] == Attempt(2, "extractive", "fallback", "extractive")
    assert isinstance(events[-1], Finish)


async def test_extractive_alone_is_no_fallback():
    events = await collect(scripted("extractive"))
    assert events[0] == Attempt(1, "extractive", "first")


async def test_f44_failure_after_text_begins_anew_with_the_next_model():
    failed = []
    chain = scripted(BREAKING, GOOD, on_error=lambda *seen: failed.append(seen))
    assert await collect(chain) == [
        Attempt(1, "scripted", "first"),
        TextDelta("half"),
        Ended(1, Usage(11, 1, estimated=True)),
        Reset("connect"),
        Attempt(2, "scripted", "retry"),
        TextDelta("one, "),
        TextDelta("two", is_last=True),
        Usage(11, 2, estimated=True),
        Finish("stop"),
    ]
    assert failed == [("scripted", "connect")]


async def test_f43_f44_only_one_failure_after_text_is_made_good():
    events = []
    with pytest.raises(UpstreamError) as caught:
        await into(events, scripted(BREAKING, BREAKING, GOOD))
    assert caught.value.kind == "connect"
    assert [event for event in events if isinstance(event, Reset)] == [Reset("connect")]
    assert events[-2:] == [TextDelta("half"), Ended(2, Usage(11, 1, estimated=True))]


async def test_f43_a_model_that_fails_in_silence_after_a_reset_gives_way_to_a_third():
    events = await collect(scripted(BREAKING, FAILING, GOOD))
    assert [event.number for event in events if isinstance(event, Attempt)] == [1, 2, 3]
    assert events[-1] == Finish("stop")


async def test_f44_the_only_model_is_asked_again_after_half_an_answer():
    chain = Chain([Once(TextDelta("half"), UpstreamError("connect", "broke"))])
    events = await collect(chain)
    assert [event for event in events if isinstance(event, Attempt)] == [
        Attempt(1, "once", "first"),
        Attempt(2, "once", "retry"),
    ]
    assert events[-2:] == [TextDelta("whole"), Finish("stop")]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (UpstreamError("server", "503"), 2),
        (UpstreamError("timeout", "silent"), 1),
        (UpstreamError("refused", "400"), 1),
        (UpstreamError("rate_limited", "429"), 1),
        (UpstreamError("server", "503", retry_after_s=3), 1),
    ],
)
async def test_f40_the_only_model_is_asked_again_when_that_has_a_point(error, calls):
    model = Once(error)
    try:
        await collect(Chain([model]))
    except UpstreamError as caught:
        assert caught is error
    assert model.calls == calls


class Once:
    """A model that fails after the given events, and answers when it is asked again."""

    name = "once"

    def __init__(self, *steps):
        self.steps = steps
        self.calls = 0

    async def stream(self, request):
        self.calls += 1
        for step in self.steps if self.calls == 1 else (TextDelta("whole"), Finish("stop")):
            if isinstance(step, Exception):
                raise step
            yield step

    async def check(self):
        """Always there."""

    async def aclose(self):
        """Nothing to give back."""


async def into(events: list, chain: Chain) -> None:
    async for event in chain.stream(REQUEST):
        events.append(event)


async def test_all_failing_raises_the_error_that_may_pass():
    with pytest.raises(UpstreamError) as caught:
        await collect(scripted(REFUSED, LIMITED, FAILING))
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limited", 7)


async def test_all_refusing_raises_a_refusal():
    with pytest.raises(UpstreamError) as caught:
        await collect(scripted(REFUSED, REFUSED))
    assert caught.value.kind == "refused"


async def test_f54_a_block_is_an_answer_and_tries_no_other():
    events = await collect(scripted(inline('{"finish": "blocked"}'), GOOD))
    assert [type(event) for event in events] == [Attempt, Usage, Finish]
    assert events[-1] == Finish("blocked")


async def test_f42_silence_goes_to_the_next_model():
    chain = scripted(inline('{"stall_ms": 60000}'), GOOD, first_token_timeout_s=0.01)
    events = await collect(chain)
    assert events[-1] == Finish("stop")


async def test_f50_wall_clock_ends_an_endless_answer_as_length():
    chain = scripted(inline('{"tokens": 1000000000}'), answer_timeout_s=0.05)
    events = [event async for event in chain.stream(REQUEST)]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert events[-1] == Finish("length")
    assert events[-2] == Usage(11, -(-len("".join(texts)) // 4), estimated=True)


async def test_f50_wall_clock_covers_all_attempts_and_tries_no_more():
    stall = inline('{"stall_ms": 60000}')
    with pytest.raises(UpstreamError) as caught:
        await collect(scripted(stall, GOOD, answer_timeout_s=0.01))
    assert caught.value.kind == "timeout"


class Watched:
    """A model that says one word and then waits, and knows whether it was closed."""

    name = "watched"

    def __init__(self):
        self.closed = False

    async def stream(self, request):
        try:
            yield TextDelta("word")
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def check(self):
        raise UpstreamError("connect", "away")

    async def aclose(self):
        pass


async def test_closing_the_answer_closes_the_model():
    model = Watched()
    async with aclosing(Chain([model]).stream(REQUEST)) as events:
        assert [await anext(events), await anext(events)][1] == TextDelta("word")
        assert not model.closed
    assert model.closed


async def test_cancelling_the_answer_closes_the_model():
    model = Watched()
    task = asyncio.create_task(collect(Chain([model])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.closed


class Unfinished(Watched):
    """A model with a fault: it ends without a `Finish`."""

    async def stream(self, request):
        yield TextDelta("word")


async def test_a_model_without_an_end_is_an_error():
    with pytest.raises(UpstreamError, match="without saying how"):
        await collect(Chain([Unfinished()]))


async def test_check_tells_of_each_model():
    chain = Chain([Watched(), *scripted("scripted").models])
    results = await chain.check()
    assert str(results["watched"]) == "away"
    assert results["scripted"] is None
    await chain.aclose()


def test_a_chain_needs_a_model():
    with pytest.raises(ValueError, match="needs a model"):
        Chain([])


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("extractive", ["extractive"]),
        (" gemini:a , extractive ", ["gemini:a", "extractive"]),
        ("openai:llama3.1:8b", ["openai:llama3.1:8b"]),
        (
            'scripted:[{"text": "a, ]b"}, {"stall_ms": 1}],scripted:p.json',
            ['scripted:[{"text": "a, ]b"}, {"stall_ms": 1}]', "scripted:p.json"],
        ),
    ],
)
def test_parts_of_a_chain(spec, parts):
    assert split_spec(spec) == parts


def test_names_and_order():
    chain = build_chain(
        "gemini:gemini-2.5-flash,openai:gpt-4.1-mini,gemini-sdk:gemini-2.5-pro,extractive",
        gemini_api_key="k",
        openai_api_key="k",
    )
    assert chain.names == (
        "gemini:gemini-2.5-flash",
        "openai:gpt-4.1-mini",
        "gemini-sdk:gemini-2.5-pro",
        "extractive",
    )


def test_openai_needs_no_key_for_a_server_of_ones_own():
    chain = build_chain("openai:llama3.1:8b", openai_base_url="http://127.0.0.1:11434/v1")
    assert chain.names == ("openai:llama3.1:8b",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "part 1 of the model chain '' is empty"),
        ("extractive,,scripted", "part 2 of the model chain"),
        ("extractive,gemni:x", r"part 2 .*\(gemni:x\).*did you mean gemini\?"),
        ("anthropic:x", "use one of gemini, openai, gemini-sdk, extractive, scripted"),
        ("gemini:gemini-2.5-flash", "set MANICULE_GEMINI_API_KEY"),
        ("openai:gpt-4.1-mini", "set MANICULE_OPENAI_API_KEY, or MANICULE_OPENAI_BASE_URL"),
        ("gemini", "name the model too, such as gemini:gemini-2.5-flash"),
        ("openai:", "name the model too"),
        ("extractive:best", "extractive takes no name"),
        ("scripted:[{]", "part 1 of the model chain: not JSON"),
        ('scripted:[{"text": 3}]', "part 1 .*step 1: text must be a string"),
        ('scripted:[{"text": "a"}] more', "part 1 .*the script is not JSON"),
        ("scripted:no/such/file.json", "cannot read no/such/file.json: No such file"),
    ],
)
def test_errors_name_the_part_and_the_remedy(spec, message):
    with pytest.raises(ChainError, match=message):
        build_chain(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai:m@https://user:secret@h/v1", "without user or password"),
        ("openai:@https://h/v1", "write NAME@https://host/path"),
        ("openai:m@https://", "write NAME@https://host/path"),
        ("gemini:m@https://h:8443/x", "MANICULE_MODEL_KEYS=h:8443=KEY"),
        ("openai:m@https://api.openai.com/v1", "set MANICULE_OPENAI_API_KEY"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_secret(spec, message):
    with pytest.raises(ChainError, match=message) as caught:
        build_chain(spec, gemini_api_key="provider-key")
    assert "secret" not in str(caught.value)


def test_servers_of_one_model_are_told_apart_and_have_one_name():
    spec = "openai:m@http://a/v1,openai:m@http://b/v1,openai:llama@001,gemini:g@https://c/v1"
    chain = build_chain(spec, model_keys={"c": "k"}, openai_api_key="k")
    assert chain.names == ("openai:m", "openai:m", "openai:llama@001", "gemini:g")
    assert [one.label for one in chain.deployments] == [
        "openai:m",
        "openai:m#2",
        "openai:llama@001",
        "gemini:g",
    ]


def test_a_gemini_name_cannot_leave_its_path():
    with pytest.raises(ChainError, match="is not a name of a Gemini model"):
        build_chain("gemini:../files?x", gemini_api_key="k")


def test_an_absent_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "google.generativeai", None)
    with pytest.raises(ChainError, match=r"pip install 'manicule\[gemini-sdk\]'"):
        build_chain("gemini-sdk:gemini-2.5-flash", gemini_api_key="k")
