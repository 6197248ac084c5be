"""One stack for all tests of the page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactions.core.settings import Settings
from reactions.demo.stack import Stack


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A stack with a page. PostgreSQL's own user cannot enter pytest's folder."""
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    settings = Settings(
        viral_threshold=1_500,
        lease_s=1,
        sweep_interval_s=0.5,
        web_writes_per_s=0.1,  # a user who used up web_burst is refused for a long time
    )
    try:
        with Stack(folder, settings, flower=False, page=True) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
