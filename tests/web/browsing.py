"""A headless Chromium, and checks that every page must pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.servers import missing

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

CONTROLS = {"button", "link", "combobox", "menuitemradio", "PopUpButton", "dialog", "img", "image"}
"""Roles in Chromium's accessibility tree that need a name."""

FAINT = """() => {
  const parts = color => (color.match(/[\\d.]+/g) ?? []).map(Number)
  const light = ([r, g, b]) => {
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4
    const [x, y, z] = [r, g, b].map(v => linear(v / 255))
    return .2126 * x + .7152 * y + .0722 * z
  }
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor)
      if (found.length === 3 || found[3] === 1) return found
    }
    return [255, 255, 255]
  }
  const faint = []
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
    const style = getComputedStyle(element)
    const seen = element.checkVisibility({opacityProperty: true}) && style.clipPath === "none"
    if (!own || !seen) continue
    const [one, other] = [light(parts(style.color)), light(behind(element))].sort((a, b) => b - a)
    const ratio = (one + .05) / (other + .05)
    if (ratio < 4.5) faint.push(`${element.outerHTML}: ${ratio.toFixed(2)}`)
  }
  return faint
}"""
"""Finds texts with less contrast than WCAG AA requires."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium. Without it the test is skipped, and fails in CI."""
    if not CHROMIUM.exists():
        missing("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A visit to the page, with its own cookies and storage.

    Args:
        script: runs before the page's own scripts.
        options: those of the browser's context.
    """

    def __init__(self, browser: Browser, url: str, script: str = "", **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )
        self.page.goto(url)
        self.page.wait_for_selector("#live[data-state=on]")

    def post(self, number: int) -> Locator:
        return self.page.locator(f"[data-post='{number}']")

    def chip(self, number: int, kind: str) -> Locator:
        return self.post(number).locator(f".chip[data-kind={kind}]")

    def nameless(self) -> list[dict[str, Any]]:
        """Return the controls that a screen reader cannot name."""
        return [
            node
            for node in _tree(self.page)
            if node["role"]["value"] in CONTROLS and not node.get("name", {}).get("value")
        ]


def _tree(page: Page) -> list[Any]:
    session = page.context.new_cdp_session(page)
    found = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [node for node in found if not node["ignored"]]
