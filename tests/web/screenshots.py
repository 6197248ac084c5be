"""``python -m tests.web.screenshots`` takes the screenshots of the documentation again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.demo.state_folder import remove
from tests.support.waiting import patience, wait_until
from tests.web.browsing import Visit, chromium

FOLDER = Path(__file__).parent.parent.parent / "docs" / "screenshots"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}


def main() -> None:
    """Take a desktop during a burst with a killed worker, then a desktop and phones at rest."""
    FOLDER.mkdir(exist_ok=True)
    where = Path(tempfile.mkdtemp(prefix="reactions-screenshots-"))
    try:
        settings = Settings(viral_threshold=1_500)
        with Stack(where, settings, flower=False, page=True) as stack, chromium() as browser:
            _at_work(Visit(browser, stack.page_url))
            _shoot(Visit(browser, stack.page_url, color_scheme="dark"), "desktop-dark")
            _on_a_phone(Visit(browser, stack.page_url, **PHONE))
            _who(Visit(browser, stack.page_url, color_scheme="dark", **PHONE))
    finally:
        remove(where)


def _at_work(visit: Visit) -> None:
    _move(visit, visit.post(1).locator(".react"))
    _move(visit, visit.post(1).get_by_role("menuitemradio", name="Love"))
    visit.page.locator("#kill").dispatch_event("click")  # the mouse stays where it is
    expect(visit.page.locator("#log")).to_contain_text("kill -9")
    wait_until(lambda: int(visit.page.inner_text("#acknowledged").replace(",", "")) > 3_000)
    _shoot(visit, "desktop-light")
    verdict = visit.page.locator("#verdict")
    expect(verdict).to_have_attribute("data-state", "verified", timeout=patience(60_000))
    expect(visit.post(1).locator(".viral")).to_be_visible()


def _move(visit: Visit, place: Locator) -> None:
    """Move the mouse. ``hover`` would scroll."""
    expect(place).to_be_visible()
    box = place.bounding_box()
    assert box is not None
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def _on_a_phone(visit: Visit) -> None:
    visit.post(2).locator(".react").tap()
    _shoot(visit, "phone-light")
    visit.page.locator("#live").tap()
    visit.page.get_by_role("link", name="Engine room", exact=True).tap()
    expect(visit.page.locator("#verdict")).to_have_attribute("data-state", "verified")
    _shoot(visit, "phone-room")


def _who(visit: Visit) -> None:
    visit.chip(1, "wow").tap()
    visit.post(1).locator(".total").tap()
    expect(visit.page.locator("#sheet li").first).to_contain_text("Ada (you)")
    _shoot(visit, "phone-dark")


def _shoot(visit: Visit, name: str) -> None:
    visit.page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    main()
