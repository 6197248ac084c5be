"""The live page shows the registry's labels and emoji, and learns changes while it is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from reactions.postgres.type_registry import TypeRegistry
from reactions.web.page.app import create_page
from tests.support.engine import Engine
from tests.support.types import publish
from tests.support.waiting import patience
from tests.web.browsing import Visit
from tests.web.serving import running

pytestmark = pytest.mark.slow

POST = 3


@pytest.fixture
def registry(engine: Engine) -> TypeRegistry:
    return TypeRegistry(engine.database)


@pytest.fixture
def there(
    browser: Browser, engine: Engine, registry: TypeRegistry, tmp_path: Path
) -> Iterator[Visit]:
    """A page of a registry with a label, an emoji, and a retired type that somebody gave."""
    engine.reactions.react(1, POST, "sad")
    registry.describe("love", "Adore", "🧡")
    registry.retire("sad")
    publish(engine, registry)
    app = create_page(engine.settings, tmp_path)
    with running(app) as address:
        found = Visit(browser, f"{address}/")
        yield found
        found.context.close()
    app.state.client.close()
    assert found.complaints == []


def test_labels_and_emoji_are_those_of_the_registry(there: Visit) -> None:
    there.post(POST).locator(".react").focus()
    there.page.keyboard.press("Enter")
    menu = there.post(POST).get_by_role("menuitemradio")
    names = [one.get_attribute("aria-label") for one in menu.all()]
    assert names == ["Like", "Adore", "Laugh", "Wow", "Angry"]
    expect(menu.nth(1)).to_have_text("🧡")
    expect(menu.nth(0).locator("img")).to_have_attribute("src", "icons/like.svg")
    menu.nth(1).click()
    expect(there.chip(POST, "love")).to_have_accessible_name("Adore: 1, with yours")
    assert there.nameless() == []


def test_a_retired_type_is_shown_and_cannot_be_given(there: Visit) -> None:
    expect(there.chip(POST, "sad")).to_have_text("1")
    expect(there.chip(POST, "sad")).to_be_disabled()
    expect(there.chip(POST, "sad")).to_have_accessible_name("Sad: 1")


def test_an_open_page_learns_a_new_and_a_renamed_type(
    there: Visit, engine: Engine, registry: TypeRegistry
) -> None:
    """A menu that is open stays open, and keeps the focus."""
    there.post(POST).locator(".react").focus()
    there.page.keyboard.press("Enter")
    menu = there.post(POST).get_by_role("menu")
    expect(menu.get_by_role("menuitemradio", name="Like")).to_be_focused()
    registry.add("party")
    registry.describe("party", "Let's party", "🎈")
    registry.rename("wow", "amazing")
    publish(engine, registry)
    expect(menu.get_by_role("menuitemradio", name="Amazing")).to_be_visible(
        timeout=patience(20_000)
    )
    expect(menu.get_by_role("menuitemradio", name="Like")).to_be_focused()
    menu.get_by_role("menuitemradio", name="Let's party").click()
    expect(there.chip(POST, "party")).to_have_text("🎈1")


def test_an_open_page_learns_a_label_an_emoji_and_a_retirement(
    there: Visit, engine: Engine, registry: TypeRegistry
) -> None:
    """The counts of no post change, so only the types tell."""
    chip = there.chip(POST, "sad")
    expect(chip).to_be_disabled()
    registry.retire("sad", False)
    registry.describe("sad", "Sorry", "💧")
    registry.retire("angry")
    publish(engine, registry)
    expect(chip).to_have_accessible_name("Sorry: 1", timeout=patience(20_000))
    expect(chip).to_have_text("💧1")
    expect(chip).to_be_enabled()
    there.post(POST).locator(".react").focus()
    there.page.keyboard.press("Enter")
    menu = there.post(POST).get_by_role("menuitemradio")
    names = [one.get_attribute("aria-label") for one in menu.all()]
    assert names == ["Like", "Adore", "Laugh", "Wow", "Sorry"]
