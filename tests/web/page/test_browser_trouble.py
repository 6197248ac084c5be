"""The live page says what is true while the network or the service fails, and in a second tab."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from reactions.demo.stack import Stack
from reactions.web.page.ids import GUESTS
from tests.support.waiting import patience, wait_until
from tests.web.page.conftest import Visiting
from tests.web.serving import user

pytestmark = pytest.mark.slow

EXPECT_MS = patience(10) * 1_000

HIDE = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true})"

RECORDED = """
  globalThis.limits = []
  const sent = fetch
  globalThis.fetch = (path, options) => {
    limits.push([path, options?.signal instanceof AbortSignal])
    return sent(path, options)
  }
  const limit = AbortSignal.timeout
  AbortSignal.timeout = ms => limit.call(AbortSignal, ms / 10)
"""
"""Records for each request whether it has a limit, and makes the limits shorter."""


@contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """Stop the process of the page: its connections stay open, and nothing comes."""
    assert stack.page is not None
    assert stack.page.pid is not None
    os.kill(stack.page.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.page.pid, signal.SIGCONT)


def test_a_tap_while_offline_does_not_stay(visit: Visiting) -> None:
    there = visit()
    total = there.post(2).locator(".total").inner_text()
    there.context.set_offline(True)
    there.post(2).locator(".react").click()
    expect(there.page.get_by_role("alert")).to_contain_text("does not answer")
    expect(there.chip(2, "like")).to_have_attribute("aria-pressed", "false")
    expect(there.post(2).locator(".total")).to_have_text(total)
    expect(there.page.locator("#live")).to_have_text("Not live", timeout=EXPECT_MS)
    there.context.set_offline(False)
    expect(there.page.locator("#live")).to_have_text("Live", timeout=EXPECT_MS)
    there.post(2).locator(".react").click()
    expect(there.chip(2, "like")).to_have_attribute("aria-pressed", "true")
    there.complaints.clear()  # the browser reports each request that failed


def test_each_request_has_a_limit_and_silence_is_not_live(visit: Visiting, stack: Stack) -> None:
    there = visit(script=RECORDED)
    with frozen(stack):
        there.post(3).locator(".react").click()
        expect(there.page.locator("#live")).to_have_text("Not live", timeout=EXPECT_MS)
        expect(there.page.get_by_role("alert")).to_contain_text("does not answer")
        expect(there.chip(3, "like")).to_have_attribute("aria-pressed", "false")
        expect(there.page.locator("#room-state")).to_have_text("No answer: old figures")
    expect(there.page.locator("#live")).to_have_text("Live", timeout=EXPECT_MS)
    expect(there.page.locator("#room-state")).to_have_text("This very stack, live")

    def agrees() -> bool:
        """The service may or may not act on a request that nobody waits for."""
        with user(stack.page_url, GUESTS + 1) as ada:
            (item,) = ada.get("/v1/summaries", params={"post_id": 3}).json()["items"]
        pressed = there.chip(3, "like").get_attribute("aria-pressed")
        return pressed == str(item["reaction"] == "like").lower()

    wait_until(agrees, what="the page shows what the service has")
    limits = there.page.evaluate("limits")
    assert {path for path, _ in limits} > {"/v1/posts/3/reaction", "/room", "posts.json"}
    assert [path for path, limited in limits if not limited] == []
    there.complaints.clear()


def test_a_second_tab_of_the_same_user_agrees(visit: Visiting) -> None:
    there = visit()
    other = there.context.new_page()
    other.goto(there.page.url)
    second = other.locator("[data-post='4'] .chip[data-kind=love]")
    expect(second).to_have_attribute("aria-pressed", "false")
    before = second.get_attribute("data-number")
    there.chip(4, "love").dispatch_event("click")
    expect(second).to_have_attribute("aria-pressed", "true")
    second.click()  # takes it back, and does not add another
    expect(there.chip(4, "love")).to_have_attribute("aria-pressed", "false")
    for chip in (second, there.chip(4, "love")):
        expect(chip).to_have_attribute("data-number", str(before))
    for hidden, word in (("true", "Not live"), ("false", "Live")):  # a hidden tab has no stream
        other.evaluate(HIDE % hidden)
        other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(other.locator("#live")).to_have_text(word)
