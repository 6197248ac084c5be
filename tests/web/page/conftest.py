"""One stack and one browser for all tests of the page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from tests.support.waiting import patient
from tests.web.browsing import Visit, chromium

Visiting = Callable[..., Visit]


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A stack with a page. PostgreSQL's own user cannot enter pytest's folder."""
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    settings = Settings(
        viral_threshold=1_500,
        lease_s=1,
        sweep_interval_s=0.5,
        **patient(),
        web_writes_per_s=0.1,  # a user who used up web_burst is refused for a long time
    )
    try:
        with Stack(folder, settings, flower=False, page=True) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Visiting]:
    """Return a function that opens the page in a new browser. At the end, none may have errors."""
    visits: list[Visit] = []
    with ExitStack() as closing:

        def begin(**options: Any) -> Visit:
            visits.append(Visit(browser, stack.page_url, **options))
            closing.callback(visits[-1].context.close)
            return visits[-1]

        yield begin
        assert [v.complaints for v in visits] == [[] for _ in visits]
