"""A server with API keys: the page asks for one, keeps it as long as the tab, and no longer."""

import pytest
from playwright.sync_api import expect

KEY = "a-key-of-the-tests-0001"
STORED = "[...Object.values(localStorage), ...Object.values(sessionStorage)].join()"


@pytest.fixture(scope="module")
def server(serve):
    script = [{"text": "Open the lid.\n\n[PRO TIP: Note the time.]"}]
    return serve(script, MANICULE_API_KEYS=f"admin:{KEY}")


def sign_in(visited, key):
    field = visited.page.get_by_label("API key")
    field.fill(key)
    field.press("Enter")


def ask_for_key(visited):
    """The page asks for it at once, before anything is refused."""
    expect(visited.page.get_by_role("form", name="Sign in")).to_be_visible()


def test_a_key_opens_the_page_and_lasts_as_long_as_the_tab(server, visit):
    visited = visit(server.url)
    page = visited.page
    ask_for_key(visited)
    expect(page.get_by_label("API key")).to_be_focused()
    sign_in(visited, KEY)
    expect(page.get_by_role("form", name="Sign in")).to_have_count(0)
    expect(visited.question).to_be_focused()
    visited.choose()
    visited.ask()
    visited.answer().wait_for()
    page.get_by_role("button", name="Good answer").click()
    expect(page.locator(".said").last).to_have_text("Accepted, saved")
    assert KEY not in page.evaluate("Object.values(localStorage).join()")
    page.reload()
    visited.choose()
    elsewhere = visit(server.url, context=visited.context)
    ask_for_key(elsewhere)
    assert KEY not in elsewhere.page.evaluate(STORED)


def test_who_takes_long_to_type_a_key_is_let_in_all_the_same(server, visit):
    """The server closes after 5 s; the page comes back when the key is there."""
    visited = visit(server.url)
    ask_for_key(visited)
    expect(visited.page.locator(".link-state")).to_have_attribute(
        "data-link", "denied", timeout=20_000
    )
    expect(visited.page.get_by_text("The server does not know that key.")).to_have_count(0)
    sign_in(visited, KEY)
    visited.choose()
    visited.ask()
    visited.answer().wait_for()


def test_a_wrong_key_is_said_and_forgotten_and_another_one_tried(server, visit):
    visited = visit(server.url)
    page = visited.page
    ask_for_key(visited)
    sign_in(visited, "a-key-of-nobody-00000")
    expect(page.get_by_text("The server does not know that key.")).to_be_visible()
    expect(page.locator(".link-state")).to_have_attribute("data-link", "denied")
    assert "a-key-of-nobody" not in page.evaluate(STORED)
    sign_in(visited, KEY)
    visited.choose()
    expect(page.get_by_role("form", name="Sign in")).to_have_count(0)


def test_what_was_chosen_before_is_there_after_signing_in(server, visit):
    first = visit(server.url)
    ask_for_key(first)
    sign_in(first, KEY)
    first.choose()
    later = visit(server.url, context=first.context)
    ask_for_key(later)
    sign_in(later, KEY)
    expect(later.page.get_by_label("Product", exact=True)).to_have_value("TD-17 Drum Module")
    later.ask("How loud?")
    later.answer().wait_for()
