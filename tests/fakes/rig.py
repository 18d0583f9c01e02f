"""The real parts of one process, put together with a manual source and a model under control."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from prompts.library import load_prompts
from protocol.events import TERMINAL_EVENTS, AnyAnswerEvent, Limits, SessionFacts
from protocol.messages import MAX_INPUT_CHARS, ResponseCreate
from protocol.positions import BEFORE_ALL
from server.answering.admission import Admission, Standing
from server.answering.answer_cache import AnswerCache
from server.answering.attendance import Attendance
from server.answering.confidence import Thresholds
from server.answering.endings import Recorder
from server.answering.flights import Flights
from server.answering.kept import KeptAnswers
from server.answering.preparing import Preparer
from server.answering.publisher import Unlogged
from server.answering.resuming import Resuming
from server.answering.running import Machinery
from server.answering.service import Answering
from server.answering.sharing import Sharing
from server.answering.spending import Caps, Spending
from server.answering.topics import NOBODY, Frame, Topics
from server.endpoints.node import Node
from server.endpoints.origins import OriginRule
from server.endpoints.principals import KeyRing
from server.feedback.service import Feedback
from server.feedback.writer import Writer
from server.llm.chain import Chain
from server.llm.pacing import TimingWheel
from server.llm.port import Finish, TextDelta, UpstreamError
from server.llm.prices import load_prices
from server.llm.script import parse_script
from server.llm.scripted import Scripted
from server.manuals.documents import Extracted, ManualError, ManualSource
from server.manuals.library import Library
from server.manuals.products import Catalog, Product
from server.manuals.ranking import ManualIndex
from server.manuals.search import ProductSearch
from server.manuals.sources import Loaded, Progress
from server.storage.caches import open_caches
from server.storage.memory_store import MemoryStore
from server.telemetry.metrics import Metrics

WAIT_S = 20.0
KEY = b"rig-key"
PAGES = (
    "TD-17 drum module\nOwner's manual\n\nThank you for choosing this drum module.",
    "Changing the battery\n\nOpen the lid on the back and take the old battery out. "
    "Insert a fresh battery of type CR2032 with the plus sign facing up, then close the lid.",
    "Cleaning\n\nWipe the pads with a dry soft cloth. Never use solvents on the pads.",
)
BATTERY = "How do I change the battery?"
QUOTE = "Insert a fresh battery of type CR2032"
MARKED = f'Change it. [MANUAL: p.2 "{QUOTE}"] [PRO TIP: Keep a spare.] Done.'


class Source:
    """A loader whose manual, gate and failure the test sets."""

    def __init__(self, pages: tuple[str, ...] = PAGES) -> None:
        self.pages = pages
        self.error: ManualError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.loads = 0

    async def load(self, source, etag, on_progress):
        self.loads += 1
        on_progress(Progress("fetching", 10, None))
        for number in range(len(self.pages)):
            on_progress(Progress("extracting", number + 1, len(self.pages)))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Loaded(Extracted(self.pages, "Title"))


class Told:
    """A model that does what its steps say, in order: text, events, errors, and gates to wait at.

    `entered` is set when the stream begins, `closed` when it was closed in whichever way.
    """

    def __init__(self, *steps: object, name: str = "told") -> None:
        self.name = name
        self.steps = steps
        self.requests: list[object] = []
        self.entered = asyncio.Event()
        self.closed = asyncio.Event()
        self.said = 0

    async def stream(self, request):
        self.requests.append(request)
        self.entered.set()
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    self.said += 1
                    yield TextDelta(step) if isinstance(step, str) else step
            if not any(isinstance(step, Finish) for step in self.steps):
                yield Finish("stop")
        finally:
            self.closed.set()

    async def check(self):
        """Always there."""

    async def aclose(self):
        """Nothing to give back."""


def scripted(*steps: dict[str, object], pace: TimingWheel | None = None) -> Scripted:
    import json

    return Scripted(
        parse_script(json.dumps(steps)),
        first_token_timeout_s=WAIT_S,
        inter_token_timeout_s=WAIT_S,
        pace=pace,
    )


PRODUCTS = (
    Product(
        "td-17",
        "TD-17",
        brand="Korven",
        category="drum",
        aliases=("TD17",),
        accessories=("kt-10",),
        manual=ManualSource(url="https://vendor.example/td17.pdf"),
    ),
    Product("kt-10", "KT-10 kick trigger", brand="Korven"),
    Product("pad-8", "Pad 8", manual=ManualSource(url="https://vendor.example/pad8.pdf")),
)


class Rig:
    """`async with Rig(model) as rig`: everything of one process but the network.

    Options: `pages`, `timeout_s`, `max_running`, `origins`, and the limits of a connection.
    """

    def __init__(self, *models: object, source: Source | None = None, **options) -> None:
        self.models = models or (scripted({"text": MARKED}),)
        self.source = source or Source(options.pop("pages", PAGES))
        self.options = options
        self.metrics = Metrics()
        self.now = 1_790_000_000.0

    async def __aenter__(self) -> Rig:
        self._stack = stack = AsyncExitStack()
        self.caches = open_caches("", text_bytes=10**7, answer_bytes=10**6)
        self.library = Library(
            loader=self.source,
            build_index=ManualIndex.build,
            caches=self.caches,
            max_bytes=10**7,
            ttl_s=3600,
            stale_s=3600,
            negative_ttl_s=0,
            on_event=lambda name: self.metrics.count("manual_events_total", name),
        )
        stack.push_async_callback(self.library.aclose)
        self.chain = Chain(
            self.models,
            answer_timeout_s=self.options.pop("answer_timeout_s", WAIT_S),
            on_error=lambda model, kind: self.metrics.count("upstream_errors_total", model, kind),
        )
        self.cache = AnswerCache(self.caches.answers, ttl_s=3600)
        self.prices = load_prices()
        self.admission = Admission(
            slots=self.options.pop("model_concurrency", 100),
            max_waiting=self.options.pop("max_queued", 100),
            clock=time.monotonic,
            metrics=self.metrics,
        )
        stack.callback(self.admission.close)
        self.spending = Spending(
            self.options.pop("caps", Caps()),
            self.metrics,
            lambda: self.now,
            self.options.pop("spend_book", None),
        )
        self.flights = Flights(
            self.chain, self.cache, self.prices, self.metrics, self.admission, self.spending
        )
        stack.push_async_callback(self.flights.aclose)
        self.catalog = Catalog(self.options.pop("products", PRODUCTS))
        self.prompts = load_prompts()
        self.store = MemoryStore()
        await self.store.open()
        self.writer = Writer(self.store, wall_clock=lambda: self.now)
        self.writer.start()
        stack.push_async_callback(self.writer.aclose)
        self.feedback = Feedback(
            store=self.store,
            writer=self.writer,
            keys=(KEY,),
            retention_ms=400 * 86_400_000,
            wall_clock=lambda: self.now,
        )
        self.recorder = Recorder(
            metrics=self.metrics,
            thresholds=Thresholds(),
            key=KEY,
            clock=time.monotonic,
            wall_clock=lambda: self.now,
            on_interaction=self.feedback.log,
        )
        self.topics = Topics(keep_s=600, max_bytes=10**7, clock=time.monotonic)
        self.sharing = self._sharing()
        attendance = self._attendance(self.options.pop("grace_s", WAIT_S))
        stack.callback(attendance.close)
        self.machinery = Machinery(
            preparer=self._preparer(),
            cache=self.cache,
            flights=self.flights,
            recorder=self.recorder,
            publisher=self.sharing.writer if self.sharing else Unlogged(),
            clock=time.monotonic,
            timeout_s=self.options.pop("timeout_s", WAIT_S),
        )
        self.answering = Answering(
            catalog=self.catalog,
            prompts=self.prompts,
            machinery=self.machinery,
            topics=self.topics,
            attendance=attendance,
            metrics=self.metrics,
            wall_clock=lambda: self.now,
            max_running=self.options.pop("max_running", 100),
            max_per_client=self.options.pop("max_per_client", 100),
        )
        elsewhere = None
        if self.sharing is not None:
            elsewhere = await self.sharing.start(self.answering)
            stack.push_async_callback(self.sharing.aclose)
        stack.push_async_callback(self.answering.aclose)
        self.resuming = Resuming(
            answering=self.answering,
            topics=self.topics,
            elsewhere=elsewhere,
            kept=KeptAnswers(self.store, KEY),
            on_result=lambda result: self.metrics.count("resumes_total", result),
        )
        self.node = self._node()
        if self.sharing is not None:
            self.sharing.writer.on_health = lambda healthy: self.node.announce(resumable=healthy)
            self.node.leave_fleet = self.sharing.leave
        stack.push_async_callback(self.node.finish_background)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _sharing(self) -> Sharing | None:
        response_log, fleet = self.options.pop("log", (None, None))
        if response_log is None:
            return None
        return Sharing(
            response_log,
            fleet,
            self.topics,
            node=self.options.pop("name"),
            clock=time.monotonic,
            on_event=lambda event: self.metrics.count("response_log_events_total", event),
        )

    def _attendance(self, grace_s: float) -> Attendance:
        if self.sharing is not None:
            return self.sharing.attendance(grace_s)
        return Attendance(grace_s=grace_s)

    def _preparer(self) -> Preparer:
        self.boundaries = iter(f"boundary{number}" for number in range(10**6))
        return Preparer(
            catalog=self.catalog,
            library=self.library,
            metrics=self.metrics,
            clock=time.monotonic,
            new_boundary=lambda: next(self.boundaries),
            model_chain=",".join(self.chain.names),
            context_tokens=2000,
            max_output_tokens=1024,
        )

    def _node(self) -> Node:
        take = self.options.pop
        limits = Limits(
            max_frame_bytes=take("max_frame_bytes", 65_536),
            max_input_chars=MAX_INPUT_CHARS,
            max_concurrent_responses=take("max_concurrent_responses", 8),
            requests_per_minute=take("requests_per_minute", 100_000),
        )
        node = Node(
            catalog=self.catalog,
            answering=self.answering,
            resuming=self.resuming,
            search=ProductSearch(self.catalog),
            manuals=self.library,
            origins=OriginRule(take("origins", ())),
            keys=KeyRing(take("api_keys", ()), take("jwt_secret", ""), lambda: self.now),
            feedback=self.feedback,
            metrics=self.metrics,
            clock=time.monotonic,
            wall_clock=lambda: self.now,
            new_facts=lambda: SessionFacts(
                id="sess_rig",
                protocol="manicule.v1",
                server_version="0",
                scenarios=self.prompts.scenarios,
                limits=limits,
                ping_interval_s=20,
                resumable=self.answering.is_resumable,
            ),
            max_connections=take("max_connections", 100),
            send_buffer_bytes=take("send_buffer_bytes", 65_536),
            slow_client_s=take("slow_client_s", 10.0),
            max_body_bytes=limits.max_frame_bytes,
        )
        assert not self.options, f"unknown options {self.options}"
        return node

    def start(self, text: str = BATTERY, **fields) -> Listener:
        """Ask in this process; returns who listens to the answer."""
        fields.setdefault("product_id", "td-17")
        asker, standing = fields.pop("asker", NOBODY), fields.pop("standing", Standing())
        event = ResponseCreate(input=text, **fields)
        return Listener(self.answering.start(event, asker, standing))

    async def ask(self, text: str = BATTERY, **fields) -> Listener:
        """Ask in this process and wait for the end."""
        listener = self.start(text, **fields)
        await listener.end()
        return listener

    def moved(self, name: str, *labels: str) -> float:
        """The value of a counter or gauge of the table."""
        row = next(one for one in self.metrics._metrics.items() if one[0] == name)[1]
        child = row.labels(*labels) if labels else row
        return child._value.get()


class Listener:
    """Who gets the events of one answer, as a socket would."""

    has_room = True

    def __init__(self, answer=None) -> None:
        self.events: list[object] = []
        self.frames: list[Frame] = []
        self.answer = answer
        self._grew = asyncio.Event()
        if answer is not None:
            self.listen(answer.topic)

    def listen(self, topic, after=BEFORE_ALL) -> None:
        self.reader = topic.subscribe(self, after)

    def put(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.events.append(msgspec.json.decode(frame.text, type=AnyAnswerEvent))
        self._grew.set()

    async def until(self, wanted) -> object:
        """Wait for the first event that `wanted` holds for (a type name or a function)."""
        test = wanted if callable(wanted) else lambda event: kind(event) == wanted
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if test(event):
                        return event
                self._grew.clear()
                await self._grew.wait()

    async def end(self) -> None:
        """Wait until the answer is done, and read to its end if it has one."""
        async with asyncio.timeout(WAIT_S):
            await self.answer.done.wait()
            while self.answer.topic.has_ended and self.reader.is_open:
                self._grew.clear()
                await self._grew.wait()

    @property
    def kinds(self) -> list[str]:
        return [kind(event) for event in self.events]

    @property
    def text(self) -> str:
        """The text that the client is left with: that of the last epoch."""
        last = [e for e in self.events if e.epoch == self.events[-1].epoch]
        return "".join(e.delta for e in last if kind(e) == "response.output_text.delta")

    @property
    def final(self):
        """The final facts, after checking that the events are one legal answer."""
        check_answer(self.events)
        return self.events[-1].response


TERMINAL = {f"response.{status}" for status in TERMINAL_EVENTS}


def kind(event: object) -> str:
    """The type of an event, a struct's or a dict's."""
    return event["type"] if isinstance(event, dict) else str(event.__struct_config__.tag)


def check_answer(events: list[object]) -> None:
    """One created first, no gaps in numbers and epochs, one terminal event, which is last."""
    kinds = [kind(event) for event in events]
    assert kinds[0] == "response.created"
    assert kinds.count("response.created") == 1
    assert [one in TERMINAL for one in kinds].count(True) == 1
    assert kinds[-1] in TERMINAL

    def field(event, name):
        return event[name] if isinstance(event, dict) else getattr(event, name)

    want = (1, 0)
    for event in events:
        assert (field(event, "epoch"), field(event, "sequence_number")) == want
        want = (want[0] + 1, 0) if kind(event) == "response.reset" else (want[0], want[1] + 1)
    assert len({field(event, "response_id") for event in events}) == 1


def failing(kind_: str = "server", **fields) -> UpstreamError:
    return UpstreamError(kind_, "an upstream body that nobody may see", **fields)


def manuals_folder(folder: Path) -> Path:
    """A folder with one manual in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "td-17.md").write_text("# TD-17\n\n" + "\n\n".join(f"## {page}" for page in PAGES))
    return folder


async def until(check, message: str = "the awaited state did not come") -> None:
    """Wait for a state that others bring about, without guessing how long that takes."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(rig: Rig, **fields):
    """The address of a server on a free port, with the routes and limits of the real one."""
    from server.app import build_app
    from server.config.settings import Settings
    from server.readiness import Readiness
    from server.serving import _Server, _uvicorn_config, address_of, listen, listen_for_metrics

    settings = Settings(port=0, model="scripted", **fields)
    sock = listen(settings)
    readiness = Readiness(settings, rig.chain, rig.store)
    app = build_app(rig.node, readiness, settings.metrics_port or None)
    server = _Server(_uvicorn_config(app, settings))
    socks = [one for one in (sock, listen_for_metrics(settings)) if one is not None]
    task = asyncio.create_task(server.serve(sockets=socks))
    try:
        yield address_of(sock)
    finally:
        server.should_exit = True
        await task
        sock.close()
