"""The live page on the narrowest screen, its sheet, and what it says about itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from reactions.api.client import Reactions
from reactions.demo.stack import Stack
from reactions.web.page.ids import CROWD
from tests.support.waiting import wait_until
from tests.web.browsing import Visit
from tests.web.page.conftest import Visiting

pytestmark = pytest.mark.slow

NARROW = {"viewport": {"width": 320, "height": 640}}
POST = 6
CROWDED = 78
"""The users who react: three pages of the sheet, and a few more."""

OUTSIDE = """() => {
  const found = []
  for (const element of document.querySelectorAll("body *")) {
    const {left, right, width} = element.getBoundingClientRect()
    const seen = element.checkVisibility({opacityProperty: true})
    const scrolls = element.closest(".kinds") // on purpose, with a sign at its edge
    if (seen && width > 1 && !scrolls && (left < 0 || right > innerWidth + .5)) {
      found.push(`${element.outerHTML.slice(0, 80)}: ${left} to ${right}`)
    }
  }
  const {scrollWidth} = document.documentElement
  return scrollWidth > innerWidth ? [...found, `the page is ${scrollWidth} px wide`] : found
}"""
"""Finds what is beyond the left or right edge of the screen."""


@pytest.fixture(scope="module", autouse=True)
def crowd(stack: Stack) -> Iterator[None]:
    with Reactions(stack.settings) as client:
        kinds = list(client.reaction_types)
        for place in range(CROWDED):
            client.react(CROWD + place, POST, kinds[place % len(kinds)])
        yield


def opened(there: Visit) -> Visit:
    there.post(POST).locator(".total").click()
    expect(there.page.locator("#sheet li")).to_have_count(25)
    return there


def test_show_more_twice_gives_no_row_twice(visit: Visiting) -> None:
    there = opened(visit())
    asked: list[str] = []
    there.page.on("request", lambda sent: asked.append(sent.url))
    more, rows = there.page.locator("#sheet .more"), there.page.locator("#sheet li")
    more.evaluate("more => { more.click(); more.click() }")
    expect(rows).to_have_count(50)
    more.click()
    expect(rows).to_have_count(75)
    there.page.locator("#sheet .kinds button").nth(1).evaluate(
        "one => { one.click(); document.querySelector('#sheet .more').click() }"
    )
    expect(rows.first).to_contain_text("Like")
    lists = [url for url in asked if "/reactors" in url]
    assert len(lists) == len(set(lists)) == 3


def test_320_px_are_enough_and_the_keyboard_scrolls_the_sheet(visit: Visiting) -> None:
    there = visit(**NARROW)
    assert there.page.evaluate(OUTSIDE) == []
    there.post(POST).locator(".react").focus()
    there.page.keyboard.press("Enter")
    expect(there.post(POST).get_by_role("menu")).to_be_visible()
    for _ in range(6):  # each has its name above it
        there.page.keyboard.press("ArrowRight")
        assert there.page.evaluate(OUTSIDE) == []
    there.page.keyboard.press("Escape")
    there.page.locator("#kill").evaluate("kill => kill.scrollIntoView()")
    assert there.page.evaluate(OUTSIDE) == []
    assert opened(there).page.evaluate(OUTSIDE) == []
    filters, rows = there.page.locator("#sheet .kinds"), there.page.locator("#sheet ul")
    fades = "element => getComputedStyle(element).maskImage"
    assert "rgba(0, 0, 0, 0) calc(100% - 20px)" in filters.evaluate(fades)
    for _ in range(9):
        there.page.keyboard.press("Tab")
        if rows.evaluate("rows => rows === document.activeElement"):
            break
    expect(rows).to_be_focused()
    expect(rows).to_have_attribute("tabindex", "0")  # not each browser makes it so by itself
    there.page.keyboard.press("End")
    wait_until(lambda: rows.evaluate("rows => rows.scrollTop") > 0, what="the list scrolls")
    # Tab passed all filters, and so scrolled to the last one.
    assert "rgba(0, 0, 0, 0) calc(100% - 20px)" not in filters.evaluate(fades)
    assert filters.evaluate("kinds => kinds.scrollLeft") > 0


def test_the_own_reaction_is_shown_once(visit: Visiting) -> None:
    there = visit()
    button, like = there.post(4).locator(".react"), there.chip(4, "like")
    pressed = there.post(4).locator("[aria-pressed=true]")
    button.click()
    expect(pressed).to_have_count(1)
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(button).to_have_text("Change")
    expect(button.locator("img:visible")).to_have_count(0)
    button.click()  # shows the choice, and changes nothing
    expect(there.post(4).get_by_role("menuitemradio", name="Like")).to_be_checked()
    expect(pressed).to_have_count(1)
    like.click()
    expect(pressed).to_have_count(0)
    expect(button).to_have_text("React")


def test_a_visitor_learns_what_this_is(visit: Visiting) -> None:
    there = visit()
    about = there.page.locator(".about")
    expect(about).to_contain_text("the engine under like buttons")
    expect(there.page.locator("#flower")).to_be_hidden()  # this stack has none
    with there.page.expect_popup() as opening:
        about.get_by_role("link", name="Docs").click()
    read = opening.value
    expect(read.get_by_role("heading", level=1)).to_have_text("reactions")
    read.get_by_role("link", name="the live page").first.click()
    expect(read.get_by_role("heading", name="The live page")).to_be_in_viewport()
    room = there.page.locator("#room")
    expect(room).to_contain_text("Not saved yet")
    expect(room).to_contain_text("Time until saved")
    for word in ("Pending by shard", "Lag until durable"):
        expect(room).not_to_contain_text(word)
    flower = {"flower": "http://127.0.0.1:5555/"}
    there.page.route("**/room", lambda route: route.fulfill(json=route.fetch().json() | flower))
    link = about.get_by_role("link", name="Flower, the workers' queue")
    expect(link).to_have_attribute("href", flower["flower"])
