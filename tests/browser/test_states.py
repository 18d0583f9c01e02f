"""What the page shows for each state of an answer, with every frame in the test's hand."""

import json
import re

import pytest
from playwright.sync_api import expect

SESSION = {
    "id": "s",
    "protocol": "manicule.v1",
    "server_version": "0",
    "scenarios": ["general"],
    "limits": {
        "max_frame_bytes": 65536,
        "max_input_chars": 4000,
        "max_concurrent_responses": 8,
        "requests_per_minute": 120,
    },
    "ping_interval_s": 3600,
    "resumable": True,
}
PROMPT = {"name": "general", "version": "1"}


def product(name):
    manual = {"available": True, "cached": True}
    return {
        "id": name.lower(),
        "name": name,
        "brand": "",
        "category": "",
        "score": 1.0,
        "manual": manual,
    }


def final(status="completed", text="", **facts):
    return {
        "id": "r1",
        "status": status,
        "output_text": text,
        "items": [],
        "model": "scripted",
        "prompt": PROMPT,
        "experiment": None,
        "finish_reason": "stop",
        "confidence": None,
        "is_confused": False,
        "guidance": "answer",
        "usage": {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0, "estimated": True},
        "cost_usd": None,
        "cache": {"manual": "memory", "answer": "miss"},
        "fallback": None,
        "timing_ms": {"manual": None, "retrieval": None, "first_token": None, "total": 5.0},
        "receipt": "",
        **facts,
    }


class Wire:
    """The server's side of the socket, played by the test."""

    def __init__(self):
        self.opened = 0
        self.received = []
        self.socket = None
        self.sequence = 0
        self.search = lambda frame: self.results(frame, "Mixer")

    def install(self, page):
        page.route_web_socket(re.compile(r"/ws$"), self._open)

    def _open(self, socket):
        self.opened += 1
        self.socket = socket
        socket.on_message(self._message)
        self.send({"type": "session.created", "session": SESSION})

    def _message(self, text):
        frame = json.loads(text)
        self.received.append(frame)
        if frame["type"] == "catalog.search":
            self.search(frame)

    def of(self, kind):
        return [frame for frame in self.received if frame["type"] == kind]

    def send(self, frame):
        self.socket.send(json.dumps(frame))

    def results(self, frame, *names):
        products = [product(name) for name in names]
        event_id = frame["event_id"]
        self.send({"type": "catalog.results", "event_id": event_id, "products": products})

    def say(self, kind, *, epoch=1, **fields):
        """The next event of the answer."""
        position = {"response_id": "r1", "epoch": epoch, "sequence_number": self.sequence}
        self.sequence += 1
        self.send({"type": kind, **position, **fields})

    def create(self, *, resumable=False):
        response = {
            "id": "r1",
            "status": "in_progress",
            "task": "answer",
            "product_id": "mixer",
            "scenario": "general",
            "created_at": 1,
            "prompt": PROMPT,
            "experiment": None,
            "resumable": resumable,
        }
        event_id = self.of("response.create")[-1]["event_id"]
        self.say("response.created", event_id=event_id, response=response)


@pytest.fixture(scope="module")
def url(serve):
    return serve([{"text": "unused"}]).url


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def asked(url, visit, wire):
    """A page that has asked one question and waits for what the test says."""
    visited = visit(url, prepare=wire.install)
    visited.choose("mix", "Mixer")
    visited.ask("How loud?")
    visited.answer("sending").wait_for()
    return visited


def test_each_stage_has_its_words(asked, wire):
    state = asked.page.locator(".state-words")
    expect(state).to_contain_text("Sending the question")
    wire.create()
    expect(state).to_contain_text("Thinking")
    wire.say("response.in_progress", stage="queued", detail={"queue_position": 3})
    expect(state).to_contain_text("number 3 in the queue")
    wire.say("response.in_progress", stage="manual.fetching")
    expect(state).to_contain_text("Fetching the manual")
    detail = {"pages_done": 3, "pages_total": 12}
    wire.say("response.in_progress", stage="manual.extracting", detail=detail)
    expect(state).to_contain_text("Reading the manual, 3 of 12 pages")
    bar = asked.page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "25")
    spoken = asked.page.locator('main [aria-live="polite"]')
    expect(spoken).to_have_text("Reading the manual")
    wire.say("response.in_progress", stage="retrieving")
    expect(state).to_contain_text("Searching the manual")
    wire.say("response.in_progress", stage="generating")
    expect(state).to_contain_text("Thinking")
    wire.say("response.output_text.delta", delta="Very.")
    expect(state).to_contain_text("Writing")
    wire.say("response.completed", response=final(text="Very."))
    expect(spoken).to_have_text("Answer complete")


def test_items_stand_at_offsets_counted_in_code_points(asked, wire):
    wire.create()
    wire.say("response.output_text.delta", delta="\U0001f642\U0001f642 ab cd")
    citation = {
        "type": "citation",
        "id": "i1",
        "offset": 5,
        "page": 7,
        "cited_text": "ab",
        "start_char": 0,
        "end_char": 2,
        "verified": False,
    }
    wire.say("response.output_item.done", item=citation)
    expect(asked.page.locator(".answer-text")).to_have_text("\U0001f642\U0001f642 ab1 cd")
    asked.page.get_by_role("button", name="Quotation 1: page 7, not checked").click()
    expect(asked.page.locator("aside .note")).to_contain_text("not verified")


def test_a_reset_discards_what_was_said(asked, wire):
    wire.create()
    wire.say("response.output_text.delta", delta="Wrong.")
    expect(asked.page.locator(".answer-text")).to_have_text("Wrong.")
    wire.say("response.reset", reason="failover")
    wire.sequence = 0
    wire.say(
        "response.attempt.started",
        epoch=2,
        attempt=2,
        model="other",
        reason="failover",
    )
    wire.say("response.output_text.delta", epoch=2, delta="Right.")
    expect(asked.page.locator(".answer-text")).to_have_text("Right.")


@pytest.mark.parametrize(
    ("guidance", "words"),
    [
        ("hedge", "check the quotations"),
        ("rephrase", "Asking in other words"),
        ("abstain", "The manual does not say"),
    ],
)
def test_guidance_is_said_in_plain_words(asked, wire, guidance, words):
    wire.create()
    wire.say("response.completed", response=final(text="Perhaps.", guidance=guidance))
    expect(asked.page.locator(f'.notice[data-notice="{guidance}"]')).to_contain_text(words)


def test_confidence_cost_and_cache_are_shown_when_known(asked, wire):
    wire.create()
    facts = {"confidence": 0.64, "cost_usd": 0.0123}
    facts["cache"] = {"manual": "cache", "answer": "hit"}
    wire.say("response.completed", response=final(text="Yes.", **facts))
    summary = asked.page.locator(".facts summary")
    expect(summary).to_contain_text("confidence 64 %")
    expect(summary).to_contain_text("from the answer cache")
    summary.click()
    expect(asked.page.locator(".facts-table")).to_contain_text("$0.01")


def test_an_unavailable_manual_is_said(asked, wire):
    wire.create()
    manual = {"status": "unavailable", "pages": None, "sha256": None}
    manual |= {"problem": "timeout", "message": "its address did not answer."}
    wire.say("response.in_progress", stage="retrieving", sources=[], manual=manual)
    expect(asked.page.locator('.notice[data-notice="manual"]')).to_contain_text(
        "could not be read: its address did not answer."
    )


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("failed", "error", "The answer failed. The model did not answer; ask again."),
        ("incomplete", "length", "reached its longest length"),
        ("incomplete", "deadline", "ran out of time"),
    ],
)
def test_other_ends_say_why_and_offer_to_ask_again(asked, wire, status, reason, words):
    wire.create()
    error = {"code": "upstream_error", "retryable": True}
    error["message"] = "The model did not answer; ask again."
    facts = {"finish_reason": reason} | ({"error": error} if status == "failed" else {})
    wire.say(f"response.{status}", response=final(status, "Some text.", **facts))
    ended = asked.answer(status)
    expect(ended.locator(".end-state")).to_contain_text(words)
    assert len(wire.of("response.create")) == 1
    ended.get_by_role("button", name="Ask again").click()
    asked.answer("sending").wait_for()
    assert [frame["input"] for frame in wire.of("response.create")] == ["How loud?", "How loud?"]


def test_a_refusal_says_why(asked, wire):
    event_id = wire.of("response.create")[0]["event_id"]
    error = {"code": "overloaded", "message": "The server is full; try again in a minute."}
    wire.send({"type": "error", "error": {**error, "retryable": True, "event_id": event_id}})
    expect(asked.answer("refused").locator(".end-state")).to_contain_text("The server is full")


def test_late_search_results_are_discarded(url, visit, wire):
    held = []
    wire.search = held.append
    page = visit(url, prepare=wire.install).page
    field = page.get_by_label("Product", exact=True)
    options = page.get_by_role("listbox", name="Products found").get_by_role("option")
    field.fill("fi")
    expect(page.get_by_text("Searching")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.mantine-Loader-root') !== null")
    field.fill("sec")
    with page.expect_event("console", lambda message: message.text == "two searches"):
        while len(held) < 2:
            page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
        page.evaluate("() => console.info('two searches')")
    wire.results(held[1], "Second")
    expect(options).to_have_text([re.compile("^Second")])
    wire.results(held[0], "First")
    wire.send({"type": "session.go_away", "reason": "test", "time_left_ms": 60_000})
    expect(page.get_by_text("The server is restarting.")).to_be_visible()
    expect(options).to_have_text([re.compile("^Second")])


def test_a_page_told_to_wait_does_not_come_back_at_once(url, visit, wire):
    def prepare(page):
        wire.install(page)
        page.clock.install()

    visited = visit(url, prepare=prepare)
    visited.connected()
    visited.page.clock.pause_at(visited.page.evaluate("Date.now()") + 1000)
    wire.socket.close(code=4429, reason="rate")
    banner = visited.page.get_by_role("status").filter(has_text="asked too much")
    expect(banner).to_be_visible()
    visited.page.clock.run_for(29_000)
    assert wire.opened == 1
    banner.get_by_role("button", name="Try now").click()
    visited.connected()
    assert wire.opened == 2


def test_an_answer_cut_off_is_said_and_not_asked_again(asked, wire):
    wire.create()
    wire.say("response.output_text.delta", delta="Half")
    expect(asked.page.locator(".answer-text")).to_have_text("Half")
    wire.socket.close(code=1011, reason="")
    expect(asked.answer("interrupted").locator(".end-state")).to_contain_text("connection was lost")
    asked.connected()
    assert wire.opened == 2
    assert len(wire.of("response.create")) == 1


def test_an_answer_that_can_be_taken_up_again_is(asked, wire):
    wire.create(resumable=True)
    wire.say("response.output_text.delta", delta="Half ")
    expect(asked.page.locator(".answer-text")).to_have_text("Half")
    wire.socket.close(code=4010, reason="")
    expect(asked.page.locator(".state-words")).to_contain_text("taken up again")
    asked.connected()
    expect(asked.page.locator(".state-words")).to_contain_text("Writing")
    [resume] = wire.of("response.resume")
    assert (resume["response_id"], resume["epoch"], resume["starting_after"]) == ("r1", 1, 1)
    wire.say("response.output_text.delta", delta="and whole.")
    expect(asked.page.locator(".answer-text")).to_have_text("Half and whole.")


def test_a_server_that_goes_away_is_left_once_the_answer_has_ended(asked, wire):
    wire.create()
    wire.send({"type": "session.go_away", "reason": "deploy", "time_left_ms": 25_000})
    expect(asked.page.get_by_text("The server is restarting.")).to_be_visible()
    asked.question.fill("And then?")
    expect(asked.page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    wire.say("response.completed", response=final(text="Very."))
    asked.answer().wait_for()
    expect(asked.page.get_by_text("The server is restarting.")).to_have_count(0)
    asked.connected()
    assert wire.opened == 2
    expect(asked.question).to_have_value("And then?")


def test_an_answer_that_cannot_be_shown_does_not_take_the_page_with_it(asked, wire):
    asked.watch.allow("console error|page error")
    wire.create()
    wire.say("response.output_item.done", item={"type": "citation", "id": "i1", "offset": 0})
    expect(asked.page.get_by_role("alert")).to_contain_text("How loud?")
    asked.question.fill("Still here?")
    expect(asked.page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()
