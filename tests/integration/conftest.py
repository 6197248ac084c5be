"""Fixtures of small tiers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Engine, make_engine
from tests.integration.reading import SMALL_SAMPLE, VIRAL, shrink


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A post is viral from ten reactions on; samples of five; buckets of four."""
    shrink(monkeypatch, SMALL_SAMPLE, 4, 8)
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": VIRAL}))
    yield made
    made.close()
