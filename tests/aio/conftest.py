"""The engine with an asynchronous client, so that the tests of the synchronous one run on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reactions.core.settings import Settings
from tests.aio.facade import InLoop
from tests.support.engine import Engine, make_engine
from tests.support.reading import SMALL_SAMPLE, VIRAL, shrink


def with_twin(settings: Settings) -> Engine:
    engine = make_engine(settings)
    engine.reactions.close()
    twin: Any = InLoop(settings)
    engine.reactions = twin
    return engine


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = with_twin(settings)
    yield engine
    engine.close()


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    shrink(monkeypatch, SMALL_SAMPLE, 4, 8)
    made = with_twin(engine.settings.model_copy(update={"viral_threshold": VIRAL}))
    yield made
    made.close()


@pytest.fixture
def nowhere() -> Iterator[InLoop]:
    """A client whose Redis does not exist: every call that sends something fails."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0", broker_url="redis://127.0.0.1:1")
    with InLoop(settings) as client:
        yield client
