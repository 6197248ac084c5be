"""A whole stack, Flower included, for the tests of the tools for operators."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from tests.support.waiting import patient


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Posts are viral early. The folder is outside of pytest's: PostgreSQL has its own user."""
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    settings = Settings(
        viral_threshold=10, viral_horizon_s=0, sweep_interval_s=1, log_json=True, **patient()
    )
    try:
        with Stack(folder, settings) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
