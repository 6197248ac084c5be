"""An empty Redis for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reactions.core.settings import Settings
from reactions.redis.connection import Client, connect
from tests.support.engine import DEAD_BROKER


@pytest.fixture
def redis_settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, broker_url=DEAD_BROKER, lease_s=5.0, viral_threshold=10)


@pytest.fixture
def client(redis_settings: Settings) -> Iterator[Client]:
    with connect(redis_settings) as client:
        yield client
