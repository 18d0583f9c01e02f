"""The server dies and comes back: what was typed stays, nothing is sent by itself."""

from playwright.sync_api import expect


def test_offline_is_said_after_10_s_and_the_page_recovers(serve, visit):
    server = serve([{"text": "Here again."}])
    visited = visit(server.url, prepare=lambda page: page.clock.install())
    visited.watch.allow(r"WebSocket connection to .* failed")
    page = visited.page
    visited.choose()
    visited.question.fill("How do I change the battery?")
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    server.kill()
    banner = page.locator(".banner")
    expect(banner).to_have_attribute("data-link", "reconnecting")
    page.clock.run_for(9_900)
    expect(banner).to_have_attribute("data-link", "reconnecting")
    page.clock.run_for(200)
    expect(banner).to_have_attribute("data-link", "offline")
    expect(banner).to_contain_text("You are offline")
    visited.question.press("Enter")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    expect(visited.question).to_have_value("How do I change the battery?")

    server.start()
    page.clock.resume()
    visited.connected()
    expect(banner).to_have_count(0)
    expect(visited.question).to_have_value("How do I change the battery?")
    expect(page.locator("article")).to_have_count(0)
    assert visited.watch.asked() == []
    visited.question.press("Enter")
    expect(visited.answer().locator(".answer-text")).to_contain_text("Here again.")
    assert len(visited.watch.asked()) == 1


def test_an_answer_that_died_with_its_server_is_asked_again_only_by_hand(serve, visit):
    server = serve([{"text": "Some words. "}, {"stall_ms": 600_000}])
    visited = visit(server.url)
    visited.watch.allow(r"WebSocket connection to .* failed")
    visited.choose()
    visited.ask()
    expect(visited.page.locator(".answer-text")).to_have_text("Some words.")
    server.kill()
    expect(visited.page.locator(".link-state")).not_to_have_attribute("data-link", "open")
    server.start()
    visited.connected()
    lost = visited.answer("interrupted")
    expect(lost.locator(".answer-text")).to_have_text("Some words.")
    assert len(visited.watch.asked()) == 1
    lost.get_by_role("button", name="Ask again").click()
    expect(visited.page.locator("article")).to_have_count(2)
    assert len(visited.watch.asked()) == 2
