"""An empty Redis for the tests of one module, a cluster of three nodes, and TTLs by tier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.support.cluster import running_cluster
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import Client, connect
from tests.redis.lives import with_lives
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.reading import shrink


@pytest.fixture
def redis_settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, broker_url=DEAD_BROKER, lease_s=5.0, viral_threshold=10)


@pytest.fixture
def client(redis_settings: Settings) -> Iterator[Client]:
    with connect(redis_settings) as client:
        yield client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Valkey]]:
    """Three primaries that share the slots."""
    with running_cluster(tmp_path) as nodes:
        yield nodes


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[list[Valkey]]:
    """Three primaries, and then a replica of each."""
    with running_cluster(tmp_path, 3, 1) as nodes:
        yield nodes


@pytest.fixture
def timed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each tier has a TTL of its own; 15 reactions are viral; samples of five, buckets of four."""
    shrink(monkeypatch, 5, 4, 8)
    made = make_engine(with_lives(engine.settings))
    yield made
    made.close()
