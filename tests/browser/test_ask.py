"""Asking and reading at a real server: citations, cards, facts, cancel, history, links."""

import re

import pytest
from playwright.sync_api import expect

QUOTE = "Insert a fresh battery of type CR2032"
SCRIPT = [
    {"text": "Open the lid and **swap** the battery "},
    {"text": f'[MANUAL: p.2 "{QUOTE}"]'},
    {"text": ". It is easy \U0001f642.\n\n[WARNING: Keep batteries away from children.]"},
    {"text": "\n\n1. Open the lid.\n2. Wipe the pads "},
    {"text": '[MANUAL: p.3 "Wipe the pads with a dry soft cloth"]'},
    {"text": ".\n\n[PRO TIP: Note the time before.]\n[SUGGESTION: A spare battery]\n"},
    {"text": "[FOLLOW UP: How do I clean the pads?]"},
]


@pytest.fixture(scope="module")
def url(serve):
    return serve(SCRIPT).url


@pytest.fixture(scope="module")
def stalling_url(serve):
    return serve([{"text": "The first words. "}, {"stall_ms": 600_000}]).url


def test_an_answer_is_read_with_its_quotations(url, visit):
    visited = visit(url)
    page = visited.page
    visited.choose()
    visited.ask()
    answer = visited.answer()
    expect(answer.get_by_role("heading", level=2)).to_have_text("How do I change the battery?")
    text = answer.locator(".answer-text")
    expect(text.locator("p").first).to_have_text(
        "Open the lid and swap the battery1. It is easy \U0001f642."
    )
    expect(text.locator("strong")).to_have_text("swap")
    expect(text.locator("ol > li")).to_have_text(["Open the lid.", "Wipe the pads2."])
    number = answer.get_by_role("button", name="Quotation 1: page 2, checked")
    expect(number).to_have_attribute("aria-expanded", "false")
    number.click()
    expect(number).to_have_attribute("aria-expanded", "true")
    note = page.locator(f"[id='{number.get_attribute('aria-controls')}']")
    expect(note).to_contain_text(QUOTE)
    expect(note).to_contain_text("page 2")
    expect(note).to_contain_text("verified")
    page.keyboard.press("Escape")
    expect(number).to_have_attribute("aria-expanded", "false")


def test_items_are_cards_with_labels(url, visit):
    visited = visit(url)
    page = visited.page
    visited.choose()
    visited.ask()
    cards = page.locator('article[data-phase="completed"] .card')
    expect(cards.locator(".card-label")).to_have_text(
        ["Warning", "Pro tip", "Suggestion", "Ask next"]
    )
    expect(page.get_by_role("note", name="Warning")).to_contain_text("away from children")


def test_the_facts_say_how_it_was_made(url, visit):
    visited = visit(url)
    page = visited.page
    visited.choose()
    visited.ask()
    facts = page.locator("article .facts")
    expect(facts.locator("summary")).to_contain_text("2 quotations checked")
    facts.locator("summary").click()
    table = facts.locator("dl")
    expect(table).to_contain_text("scripted")
    expect(table).to_contain_text(re.compile(r"answer, version \S+, scenario general"))
    expect(table.locator(".sources")).to_contain_text("page 2")


def test_a_follow_up_is_asked_with_what_was_said_before(url, visit):
    visited = visit(url)
    page = visited.page
    visited.choose()
    visited.ask()
    page.get_by_role("button", name="Ask next").click()
    expect(visited.answer()).to_have_count(2)
    expect(page.get_by_role("heading", level=2).last).to_have_text("How do I clean the pads?")
    first, second = visited.watch.asked()
    assert first["history"] == []
    assert [turn["role"] for turn in second["history"]] == ["user", "assistant"]
    assert second["history"][0]["content"] == "How do I change the battery?"


def test_an_answer_can_be_copied(url, visit):
    visited = visit(url)
    visited.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    visited.choose()
    visited.ask()
    visited.page.get_by_role("button", name="Copy").click()
    expect(visited.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = visited.page.evaluate("navigator.clipboard.readText()")
    assert "swap the battery (p. 2)." in copied
    assert "Warning: Keep batteries away from children." in copied


@pytest.mark.parametrize("how", ["button", "escape"])
def test_an_answer_can_be_stopped(stalling_url, visit, how):
    visited = visit(stalling_url)
    page = visited.page
    visited.choose()
    visited.ask()
    expect(page.locator("article .answer-text")).to_have_text("The first words.")
    if how == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    stopped = visited.answer("cancelled")
    expect(stopped.locator(".end-state")).to_contain_text("You stopped this answer")
    expect(stopped.locator(".answer-text")).to_have_text("The first words.")
    expect(stopped.get_by_role("button", name="Ask again")).to_be_enabled()
    assert len(visited.watch.asked()) == 1


def test_the_state_stays_for_800_ms_although_the_answer_is_there(url, visit):
    visited = visit(url, prepare=lambda page: page.clock.install())
    page = visited.page
    visited.choose()
    visited.question.fill("How do I change the battery?")
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    visited.question.press("Enter")
    answer = visited.answer()
    answer.wait_for()
    expect(answer.locator(".state-line")).to_be_visible()
    page.clock.run_for(790)
    expect(answer.locator(".state-line")).to_be_visible()
    page.clock.run_for(20)
    expect(answer.locator(".state-line")).to_have_count(0)


def test_the_last_product_is_remembered_and_a_link_names_one(url, visit):
    first = visit(url)
    first.choose()
    expect(first.page).to_have_url(url + "/?product=korven-td-17")
    again = visit(url, context=first.context)
    expect(again.page.get_by_label("Product", exact=True)).to_have_value("TD-17 Drum Module")
    linked = visit(url, "?product=mixer&q=How%20loud%3F")
    expect(linked.page.get_by_label("Product", exact=True)).to_have_value("Studio Mixer 12")
    expect(linked.question).to_have_value("How loud?")
    linked.connected()
    assert linked.watch.asked() == []
    linked.question.press("Enter")
    expect(linked.page.locator("article")).to_have_count(1)


def test_scenarios_come_from_the_server(url, visit):
    visited = visit(url)
    visited.choose()
    visited.page.get_by_label("Scenario").select_option("studio")
    visited.ask()
    visited.answer().wait_for()
    assert visited.watch.asked()[0]["scenario"] == "studio"
