"""The live page end to end: real browsers on a whole stack."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from reactions.demo.stack import Stack
from reactions.web.page.ids import GUESTS, POSTS
from tests.support import http
from tests.web.browsing import FAINT
from tests.web.page.conftest import Visiting
from tests.web.serving import user

pytestmark = pytest.mark.slow

BELA, FATOU = GUESTS + 2, GUESTS + 6
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SETTLED_MS = 60_000


def test_two_browsers_see_each_other_and_a_reload_keeps_it(visit: Visiting) -> None:
    one, other = visit(), visit()
    other.page.select_option("#visitor", str(BELA))
    one.post(3).locator(".react").hover()
    one.post(3).get_by_role("menuitemradio", name="Love").click()
    expect(one.chip(3, "love")).to_have_attribute("aria-pressed", "true")
    expect(other.chip(3, "love")).to_have_text("1")
    expect(other.chip(3, "love")).to_have_attribute("aria-pressed", "false")
    other.chip(3, "love").click()
    expect(one.chip(3, "love")).to_have_text("2")
    expect(one.page.locator("#said")).to_have_text("You reacted with Love to Ines Duarte's post.")
    one.page.reload()
    expect(one.chip(3, "love")).to_have_text("2")
    expect(one.chip(3, "love")).to_have_attribute("aria-pressed", "true")
    one.chip(3, "love").click()  # a click on the visitor's own reaction removes it
    expect(other.chip(3, "love")).to_have_text("1")
    expect(one.post(3).locator(".react")).to_have_text("React")


def test_the_keyboard_alone_can_react(visit: Visiting) -> None:
    there = visit()
    button = there.post(5).locator(".react")
    there.page.keyboard.press("Tab")
    for _ in range(60):
        if button.evaluate("element => element === document.activeElement"):
            break
        there.page.keyboard.press("Tab")
    for key in ("Enter", "ArrowRight", "ArrowRight", "ArrowRight"):
        there.page.keyboard.press(key)
    wow = there.post(5).get_by_role("menuitemradio", name="Wow")
    expect(wow).to_be_focused()
    assert wow.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    there.page.keyboard.press("Enter")
    expect(button).to_be_focused()
    expect(button).to_have_accessible_name("Change your reaction: Wow")
    expect(there.chip(5, "wow")).to_have_text("1")
    there.page.keyboard.press("ArrowUp")
    expect(wow).to_be_focused()
    expect(wow).to_be_checked()
    there.page.keyboard.press("Escape")
    expect(wow).to_be_hidden()
    expect(button).to_be_focused()


def test_a_phone_taps_or_long_presses(visit: Visiting) -> None:
    there = visit(**PHONE)
    menu = there.post(6).get_by_role("menu")
    there.post(6).locator(".react").tap()
    expect(menu).to_be_visible()
    there.post(6).locator(".text").tap()
    expect(menu).to_be_hidden()
    there.post(6).locator(".react").dispatch_event(
        "pointerdown", {"pointerType": "touch", "bubbles": True}
    )
    expect(menu).to_be_visible()
    there.post(6).get_by_role("menuitemradio", name="Sad").tap()
    expect(there.chip(6, "sad")).to_have_text("1")
    assert there.page.evaluate("document.documentElement.scrollWidth") == 390


def test_who_reacted_is_shown(visit: Visiting, stack: Stack) -> None:
    with user(stack.page_url, BELA) as bela:
        bela.put("/v1/posts/7/reaction", json={"reaction": "laugh"}).raise_for_status()
    there = visit()
    there.chip(7, "laugh").click()
    expect(there.chip(7, "laugh")).to_have_text("2")
    there.post(7).locator(".total").click()
    sheet = there.page.get_by_role("dialog", name="Who reacted Priya Raman's post")
    expect(sheet.locator("li")).to_have_count(2)
    expect(sheet.locator("li").first).to_contain_text("Ada (you)")
    expect(sheet.locator("li").last).to_contain_text("Bela")
    there.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(there.post(7).locator(".total")).to_be_focused()


def test_a_refusal_is_shown_and_the_choice_reverts(visit: Visiting, stack: Stack) -> None:
    there = visit()
    there.page.select_option("#visitor", str(FATOU))
    button, like = there.post(8).locator(".react"), there.chip(8, "like")
    alert = there.page.get_by_role("alert")
    for _ in range(10 * stack.settings.web_burst):  # of quick taps, only the last is sent
        like.dispatch_event("click")
        if alert.is_visible():
            break
    expect(alert).to_contain_text("you react too fast")
    with user(stack.page_url, FATOU) as fatou:
        own = fatou.get("/v1/summaries", params={"post_id": 8}).json()["items"][0]["reaction"]
    expect(button).to_have_text("Change" if own else "React")
    there.complaints = [said for said in there.complaints if "429" not in said]


def test_a_killed_worker_loses_nothing(visit: Visiting, stack: Stack) -> None:
    there = visit()
    there.page.get_by_role("button", name="Kill a worker").click()  # starts a burst
    expect(there.page.locator("#log")).to_contain_text("kill -9 of worker process")
    verdict = there.page.locator("#verdict")
    expect(verdict).to_have_attribute("data-state", "verified", timeout=SETTLED_MS)
    expect(verdict).to_contain_text("All 5,000 acknowledged reactions are in PostgreSQL")
    for number in ("#acknowledged", "#durable"):
        expect(there.page.locator(number)).to_have_text("5,000")
    expect(there.post(1).locator(".viral")).to_be_visible()
    room = http.get(f"{stack.page_url}room").json()
    assert room["burst"]["state"] == "verified"
    figures = room["figures"]
    assert len(figures["shards"]) == 100
    assert 0 < figures["react_p50_ms"] <= figures["react_p99_ms"]
    assert 0 < figures["lag_p50_ms"] <= figures["lag_p99_ms"]
    assert sum(figures["tiers"].values()) > len(POSTS)
    assert 0 <= figures["cache_hits"] <= 1
    expect(there.page.locator("[data-figure=pending]")).to_have_text("0")


@pytest.mark.parametrize(
    ("scheme", "options"), [("light", {}), ("dark", PHONE)], ids=["desktop", "phone"]
)
def test_everything_has_a_name_and_can_be_read(
    visit: Visiting, scheme: str, options: dict[str, Any]
) -> None:
    there = visit(color_scheme=scheme, **options)
    there.chip(1, "like").wait_for(state="attached")
    assert there.nameless() == []
    assert there.page.evaluate(FAINT) == []
    there.post(2).locator(".react").focus()
    there.page.keyboard.press("Enter")
    assert there.nameless() == []
    assert there.page.evaluate("document.documentElement.lang") == "en"
