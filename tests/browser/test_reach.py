"""Everyone can use the page: by keyboard alone, on a small screen, in the dark, without motion."""

import re

import pytest
from playwright.sync_api import expect

LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
SCRIPT = [
    {"text": "Open the lid "},
    {"text": '[MANUAL: p.2 "Insert a fresh battery of type CR2032"]'},
    {"text": f". {LONG_WORD}\n\n- one\n  - two\n\n`{LONG_WORD}`\n\n"},
    {"text": f"[WARNING: {LONG_WORD}][SUGGESTION: {LONG_WORD}]"},
    {"text": "[FOLLOW UP: How do I clean the pads?]"},
]


@pytest.fixture(scope="module")
def url(serve):
    return serve(SCRIPT).url


def press_until(page, key, selector, limit=40):
    """Press `key` until what `selector` names has the focus."""
    for _ in range(limit):
        page.keyboard.press(key)
        if page.evaluate(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"{key} never reached {selector}")


def focus_is_visible(page):
    """Whether the focused element is drawn otherwise than without the focus."""
    return page.evaluate(
        """async () => {
          const node = document.activeElement;
          const drawn = async () => {
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            await frame();
            await Promise.all(node.getAnimations().map((one) => one.finished));
            const { outlineStyle, outlineWidth, borderColor, boxShadow } = getComputedStyle(node);
            return [outlineStyle, outlineWidth, borderColor, boxShadow].join();
          };
          const focused = await drawn();
          node.blur();
          const plain = await drawn();
          node.focus();
          return focused !== plain;
        }"""
    )


def test_all_of_it_works_from_the_keyboard(url, visit):
    visited = visit(url, reduced_motion="reduce")
    page = visited.page
    visited.connected()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the conversation")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    press_until(page, "Tab", "input.mantine-TextInput-input")
    assert focus_is_visible(page)
    page.keyboard.type("td17")
    option = page.get_by_role("option", name="TD-17 Drum Module")
    expect(option).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("data-combobox-selected", "true")
    page.keyboard.press("Enter")
    expect(visited.question).to_be_focused()
    page.keyboard.type("How do I change")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("the battery?")
    page.keyboard.press("Enter")
    visited.answer().wait_for()

    press_until(page, "Shift+Tab", ".note-button")
    assert focus_is_visible(page)
    page.keyboard.press("Enter")
    number = page.locator(".note-button").last
    expect(number).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(number).to_have_attribute("aria-expanded", "false")
    expect(number).to_be_focused()
    press_until(page, "Tab", ".card-ask")
    assert focus_is_visible(page)
    page.keyboard.press("Enter")
    expect(visited.answer()).to_have_count(2)


def test_every_control_has_a_name(url, visit):
    visited = visit(url)
    visited.choose()
    visited.ask()
    visited.answer().wait_for()
    for role in ("button", "textbox", "combobox", "link"):
        for control in visited.page.get_by_role(role).all():
            expect(control).to_have_accessible_name(re.compile(r"\S"))
    expect(visited.page.get_by_role("heading", level=1)).to_have_text("Ask the manual")


@pytest.mark.parametrize("width", [360, 320])
def test_nothing_scrolls_sideways_on_a_small_screen(url, visit, width):
    visited = visit(url, viewport={"width": width, "height": 740})
    page = visited.page
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    visited.connected()
    assert page.evaluate(fits)
    visited.choose()
    visited.ask(f"How do I change the battery of the {LONG_WORD}?")
    visited.answer().wait_for()
    page.locator(".note-button").first.click()
    expect(page.locator(".note-inline")).to_contain_text("CR2032")
    page.locator(".facts summary").click()
    assert page.evaluate(fits)
    page.get_by_label("Product", exact=True).fill("mixer")
    found = page.get_by_role("listbox", name="Products found")
    expect(found.get_by_role("option")).to_be_in_viewport(ratio=1)
    assert page.evaluate(fits)
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
          .filter((node) => node.getBoundingClientRect().right > window.innerWidth + 1)
          .map((node) => node.className)"""
    )
    assert outside == []


def test_the_colours_follow_the_system_until_chosen_and_are_remembered(url, visit):
    scheme = "document.documentElement.dataset.mantineColorScheme"
    visited = visit(url, color_scheme="dark")
    page = visited.page
    visited.connected()
    assert page.evaluate(scheme) == "dark"
    button = page.get_by_role("button", name="Colours")
    button.click()
    page.wait_for_function(f"{scheme} === 'light'")
    button.click()
    page.wait_for_function(f"{scheme} === 'dark'")
    page.emulate_media(color_scheme="light")
    page.reload()
    visited.connected()
    assert page.evaluate(scheme) == "dark"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(24, 23, 20)"


def test_nothing_moves_for_those_who_asked_for_stillness(url, visit):
    visited = visit(url, reduced_motion="reduce")
    visited.choose()
    visited.ask()
    visited.answer().wait_for()
    moving = visited.page.evaluate(
        """() => document.getAnimations()
          .filter((one) => one.effect.getComputedTiming().activeDuration > 1).length"""
    )
    assert moving == 0
