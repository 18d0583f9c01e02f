"""Judging answers and cards at a real server: what is said is stored, once, also after a crash."""

import contextlib
import json
import re
import sqlite3
import urllib.request

import pytest
from playwright.sync_api import expect

SCRIPT = [
    {"text": "Open the lid "},
    {"text": '[MANUAL: p.2 "Insert a fresh battery of type CR2032"]'},
    {"text": ".\n\n[WARNING: Keep batteries away from children.]\n[PRO TIP: Note the time.]\n"},
    {"text": "[SUGGESTION: A spare battery]\n[FOLLOW UP: How do I clean the pads?]"},
]
BADGE = re.compile("waiting to be saved")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def server(serve):
    return serve(SCRIPT)


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def rows(server):
    """Every judgement that the server has stored, oldest first."""
    with contextlib.closing(sqlite3.connect(server.folder / "data" / "manicule.db")) as store:
        store.row_factory = sqlite3.Row
        found = store.execute("SELECT * FROM feedback ORDER BY event_id").fetchall()
    return [dict(row) for row in found]


def asked(visit, url, **options):
    """A page with one answer."""
    visited = visit(url, **options)
    visited.choose()
    visited.ask()
    visited.answer().wait_for()
    return visited


def judged(visited):
    """The judgements that the page has sent."""
    return [frame for frame in visited.watch.sent if frame["type"] == "feedback.create"]


def said(visited, words):
    """Wait until the page says this of a judgement."""
    expect(visited.page.locator(".said").filter(has_text=words).first).to_be_visible()


def button(visited, name):
    return visited.page.get_by_role("button", name=name, exact=True)


def counts(server):
    return fetch(server.url + "/api/rlhf/statistics/acceptance-rate")["overall"]["counts"]


def test_a_thumb_up_is_stored(server, visit):
    visited = asked(visit, server.url)
    thumb = button(visited, "Good answer")
    expect(thumb).to_have_attribute("aria-pressed", "false")
    thumb.click()
    said(visited, "Accepted, saved")
    expect(thumb).to_have_attribute("aria-pressed", "true")
    [event] = judged(visited)
    [row] = [row for row in rows(server) if row["event_id"] == event["event_id"]]
    assert UUID7.fullmatch(event["event_id"])
    assert (row["action"], row["response_id"]) == ("accept", event["response_id"])
    assert row["occurred_at"] == event["occurred_at"]
    assert event["receipt"]
    thumb.click()
    assert len(judged(visited)) == 1


def test_a_thumb_down_says_why(server, visit):
    visited = asked(visit, server.url)
    page = visited.page
    button(visited, "Bad answer: say why").click()
    panel = page.get_by_role("form", name="Your view of this answer")
    expect(panel.get_by_role("checkbox").first).to_be_focused()
    panel.get_by_text("It is wrong").click()
    panel.get_by_text("Badly worded").click()
    panel.get_by_label("Comment").fill("The lid is at the side \U0001f642")
    panel.get_by_role("button", name="Send").click()
    expect(panel).to_have_count(0)
    said(visited, "Rejected, saved")
    [event] = judged(visited)
    path = f"/api/v1/content/{event['response_id']}/rejections"
    [rejection] = fetch(server.url + path)["rejections"]
    assert rejection["event_id"] == event["event_id"]
    assert rejection["tags"] == ["factual_error", "language_quality"]
    assert rejection["comment"] == "The lid is at the side \U0001f642"
    assert rejection["occurred_at"] == event["occurred_at"]


def test_an_answer_is_rated_and_edited(server, visit):
    visited = asked(visit, server.url)
    page = visited.page
    button(visited, "Rate or edit the answer").click()
    panel = page.get_by_role("form", name="Your view of this answer")
    expect(panel.get_by_role("button", name="Send")).to_be_disabled()
    panel.get_by_title("Good").click()
    panel.get_by_role("button", name="Edit the answer").click()
    text = panel.get_by_label("The answer as it should be")
    expect(text).to_be_focused()
    expect(text).to_have_value("Open the lid.")
    text.fill("Open the lid at the back.")
    panel.get_by_role("button", name="Send").click()
    said(visited, "Edited, saved")
    said(visited, "Rated 4 of 5, saved")
    edit, rating = judged(visited)
    assert (edit["action"], edit["final_text"]) == ("modify", "Open the lid at the back.")
    assert (rating["action"], rating["score"]) == ("rate", 4)
    stored = {row["event_id"]: row for row in rows(server)}
    assert stored[edit["event_id"]]["final_text"] == "Open the lid at the back."
    assert stored[rating["event_id"]]["score"] == 4


def test_each_card_and_quotation_is_judged_by_itself(server, visit):
    visited = asked(visit, server.url)
    button(visited, "Useful tip").click()
    button(visited, "Dismiss this suggestion").click()
    button(visited, "Dismiss this warning").click()
    button(visited, "Useful question").click()
    visited.page.locator("aside .note").hover()
    button(visited, "Useful quotation").click()
    expect(visited.page.locator('.said [data-state="saved"]')).to_have_count(5)
    stored = {row["event_id"]: row for row in rows(server)}
    kinds = [stored[event["event_id"]]["item_type"] for event in judged(visited)]
    assert kinds == ["pro_tip", "suggestion", "warning", "follow_up", "citation"]
    assert len({event["item_id"] for event in judged(visited)}) == 5
    assert [event["action"] for event in judged(visited)] == [
        *("accept", "dismiss", "dismiss"),
        *("accept", "accept"),
    ]


def test_another_mind_is_a_new_event(server, visit):
    visited = asked(visit, server.url)
    before = counts(server)
    button(visited, "Useful tip").click()
    said(visited, "Accepted, saved")
    button(visited, "Dismiss this tip").click()
    said(visited, "Dismissed, saved")
    expect(button(visited, "Useful tip")).to_have_attribute("aria-pressed", "false")
    button(visited, "Say why, about this tip").click()
    panel = visited.page.get_by_role("form", name="Your view of this tip")
    panel.get_by_text("Beside the question").click()
    panel.get_by_role("button", name="Send").click()
    said(visited, "Rejected, saved")
    events = judged(visited)
    assert [event["action"] for event in events] == ["accept", "dismiss", "reject"]
    assert len({event["event_id"] for event in events}) == 3
    assert counts(server)["accepted"] == before["accepted"] + 1


def test_the_keys_a_and_r_judge_what_has_the_focus_and_never_what_is_typed(server, visit):
    visited = asked(visit, server.url)
    page = visited.page
    visited.question.press_sequentially("a r?")
    expect(visited.question).to_have_value("a r?")
    assert judged(visited) == []
    page.locator("article h2").click()
    page.keyboard.press("Control+a")
    page.evaluate("getSelection().removeAllRanges()")
    page.keyboard.press("a")
    said(visited, "Accepted, saved")
    page.get_by_role("note", name="Pro tip").click()
    page.keyboard.press("r")
    said(visited, "Rejected, saved")
    button(visited, "Bad answer: say why").click()
    page.keyboard.press("a")
    page.get_by_label("Comment").press_sequentially("ra")
    page.keyboard.press("Escape")
    expect(page.get_by_role("form", name="Your view of this answer")).to_have_count(0)
    expect(button(visited, "Bad answer: say why")).to_be_focused()
    answer, tip = judged(visited)
    assert (answer["action"], "item_id" in answer) == ("accept", False)
    assert (tip["action"], "item_id" in tip) == ("reject", True)


def test_an_answer_and_its_cards_are_judged_without_a_mouse(server, visit):
    visited = asked(visit, server.url)
    page = visited.page
    article = page.locator("article")
    for key in [*["Shift+Tab"] * 40]:
        if article.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press(key)
    expect(article).to_be_focused()
    page.keyboard.press("a")
    said(visited, "Accepted, saved")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[data-card=\"warning\"]') !== null"):
            break
    page.keyboard.press("r")
    said(visited, "Rejected, saved")
    assert [event["action"] for event in judged(visited)] == ["accept", "reject"]


def test_a_question_mark_shows_the_keys(server, visit):
    visited = visit(server.url)
    visited.connected()
    page = visited.page
    keys = page.get_by_role("dialog", name="Keys")
    visited.question.press("?")
    expect(keys).to_have_count(0)
    page.locator("main").focus()
    page.keyboard.press("?")
    expect(keys).to_contain_text("accept the answer or card")
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    button(visited, "Keys").click()
    expect(keys).to_be_visible()


def test_a_running_answer_cannot_be_judged(serve, visit):
    stalling = serve([{"text": "First. [PRO TIP: Soon.]\n"}, {"stall_ms": 600_000}])
    visited = visit(stalling.url)
    visited.choose()
    visited.ask()
    expect(visited.page.locator(".card")).to_be_visible()
    expect(visited.page.locator(".verdict-button")).to_have_count(0)


def test_a_judgement_made_offline_is_saved_once_when_the_server_is_back(serve, visit):
    server = serve(SCRIPT)
    visited = asked(visit, server.url)
    visited.watch.allow(r"WebSocket connection to .* failed")
    server.kill()
    button(visited, "Good answer").click()
    badge = visited.page.get_by_role("button", name=BADGE)
    expect(badge).to_have_text("1 waiting to be saved")
    said(visited, "Accepted, waiting to be saved")
    server.start()
    said(visited, "Accepted, saved")
    expect(badge).to_have_count(0)
    [row] = rows(server)
    assert row["action"] == "accept"
    assert {event["event_id"] for event in judged(visited)} == {row["event_id"]}


def test_what_waits_outlives_the_page(serve, visit):
    server = serve(SCRIPT)
    visited = asked(visit, server.url)
    visited.watch.allow(r"WebSocket connection to .* failed")
    visited.page.route_web_socket(re.compile(r"/ws$"), lambda socket: socket.close())
    server.kill()
    button(visited, "Useful tip").click()
    button(visited, "Good answer").click()
    badge = visited.page.get_by_role("button", name=BADGE)
    expect(badge).to_have_text("2 waiting to be saved")
    server.start()
    visited.page.reload()
    expect(badge).to_have_text("2 waiting to be saved")
    assert rows(server) == []
    later = visit(server.url, context=visited.context)
    later.connected()
    expect(later.page.get_by_role("button", name=BADGE)).to_have_count(0)
    expect(badge).to_have_count(0)
    assert [row["action"] for row in rows(server)] == ["accept", "accept"]


def test_two_tabs_save_it_once(serve, visit):
    server = serve(SCRIPT)
    first = asked(visit, server.url)
    second = visit(server.url, context=first.context)
    second.connected()
    for visited in (first, second):
        visited.watch.allow(r"WebSocket connection to .* failed")
    server.kill()
    button(first, "Good answer").click()
    for visited in (first, second):
        badge = visited.page.get_by_role("button", name=BADGE)
        expect(badge).to_have_text("1 waiting to be saved")
    server.start()
    for visited in (first, second):
        expect(visited.page.get_by_role("button", name=BADGE)).to_have_count(0)
    said(first, "Accepted, saved")
    assert len(rows(server)) == 1


def test_without_a_database_the_page_says_that_it_keeps_nothing(serve, visit):
    server = serve(SCRIPT)
    block = "Object.defineProperty(window, 'indexedDB', { value: undefined })"
    visited = asked(visit, server.url, prepare=lambda page: page.add_init_script(block))
    visited.watch.allow(r"WebSocket connection to .* failed")
    server.kill()
    button(visited, "Good answer").click()
    note = visited.page.get_by_text("Leave the page open until it is.")
    expect(note).to_be_visible()
    server.start()
    said(visited, "Accepted, saved")
    expect(note).to_have_count(0)
    assert len(rows(server)) == 1


def test_a_judgement_that_cannot_be_saved_is_dropped_and_that_is_said(serve, visit):
    server = serve(SCRIPT)
    visited = asked(visit, server.url)
    visited.watch.allow(r"WebSocket connection to .* failed")
    server.kill()
    (server.folder / "data" / "secret.key").write_text("another key of the same fleet, not ours")
    button(visited, "Good answer").click()
    server.start()
    problem = visited.page.get_by_text("A judgement could not be saved.")
    expect(problem).to_be_visible()
    said(visited, "Accepted, not saved")
    expect(visited.page.get_by_role("button", name=BADGE)).to_have_count(0)
    button(visited, "Close these messages").click()
    expect(problem).to_have_count(0)
    assert rows(server) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_judging_fits_a_phone_and_its_controls_have_names_and_room(server, visit, scheme):
    visited = asked(visit, server.url, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = visited.page
    page.locator(".note-button").first.click()
    button(visited, "Useful quotation").click()
    button(visited, "Dismiss this tip").click()
    button(visited, "Say why, about this tip").click()
    button(visited, "Bad answer: say why").click()
    page.get_by_role("button", name="Edit the answer", exact=True).click()
    for role in ("button", "textbox", "checkbox", "radio"):
        for control in page.get_by_role(role).all():
            expect(control).to_have_accessible_name(re.compile(r"\S"))
    small = page.evaluate(
        """() => [...document.querySelectorAll('.verdict-choices button, .reason')]
          .map((node) => node.getBoundingClientRect())
          .filter((box) => box.width < 24 || box.height < 24).length"""
    )
    assert small == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *, header *')]
          .filter((node) => node.getBoundingClientRect().right > window.innerWidth + 1)
          .map((node) => node.className)"""
    )
    assert outside == []


def test_the_header_has_room_for_the_badge_on_a_phone(serve, visit):
    server = serve(SCRIPT)
    visited = asked(visit, server.url, viewport={"width": 320, "height": 740})
    visited.watch.allow(r"WebSocket connection to .* failed")
    server.kill()
    button(visited, "Good answer").click()
    badge = visited.page.get_by_role("button", name=BADGE)
    expect(badge).to_be_in_viewport(ratio=1)
    expect(visited.page.get_by_role("button", name="Colours")).to_be_in_viewport(ratio=1)
    badge.click()
    told = visited.page.get_by_role("dialog")
    expect(told).to_contain_text("kept in this browser")
    expect(told).to_be_in_viewport(ratio=1)
    visited.page.keyboard.press("Escape")
    expect(told).to_have_count(0)
