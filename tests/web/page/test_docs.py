"""The documentation that the page serves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reactions.demo.stack import Stack
from reactions.web.page import docs
from tests.support import http


def test_links_lead_to_pages_that_are_served(stack: Stack) -> None:
    page = http.get(f"{stack.page_url}read/docs/web.md")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert '<h2 id="the-live-page">' in page.text
    places = [link for link in re.findall(r'(?:href|src)="([^"#]+)', page.text) if ":" not in link]
    assert any(place.endswith(".png") for place in places)
    for place in set(places):
        assert http.get(page.url.join(place)).status_code == 200, place


@pytest.mark.parametrize(
    "path", ["pyproject.toml", "docs/../reactions/web/app.py", "%2e%2e/%2e%2e/etc/passwd", "docs"]
)
def test_nothing_else_is_served(stack: Stack, path: str) -> None:
    assert http.get(f"{stack.page_url}read/{path}").status_code == 404


def test_a_wheel_has_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "_ROOT", tmp_path)
    read = docs._response(docs.README)
    assert b'<h1 id="reactions">' in read.body
    assert b"docs/web.md" not in read.body
