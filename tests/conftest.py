"""Fixtures: real servers for a session, a clean pair of stores for each test.

Redis is flushed and PostgreSQL gets a database copied from a migrated template, so a test sees
nothing of another. Every server is on a free port, in a temporary folder, and stopped at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.postgres.migrate import migrate
from tests.support.databases import execute_admin
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.reading import SMALL_SAMPLE, VIRAL, shrink
from tests.support.servers import running_postgres, running_redis

_databases = itertools.count()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_redis(tmp_path_factory.mktemp("valkey"), "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres(18) as server:
        migrate(Settings(database_url=server.url))
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A fresh database with the migrated schema."""
    name = f"test_{next(_databases)}"
    execute_admin(postgres.url, f"CREATE DATABASE {name} TEMPLATE postgres STRATEGY file_copy")
    yield postgres.url.replace("/postgres?", f"/{name}?")
    execute_admin(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """A Redis with nothing in it."""
    with Redis(port=valkey.port) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def settings(redis_url: str, database_url: str) -> Settings:
    """Short lives and delays; the broker is dead unless a test brings one."""
    return Settings(
        redis_url=redis_url,
        database_url=database_url,
        broker_url=DEAD_BROKER,
        viral_horizon_s=0,  # tests of tiers are not to depend on how fast they run
        lease_s=1.0,
        retry_base_s=0.05,
        retry_cap_s=0.2,
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings)
    yield engine
    engine.close()


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A post is viral from ten reactions on; samples of five; buckets of four."""
    shrink(monkeypatch, SMALL_SAMPLE, 4, 8)
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": VIRAL}))
    yield made
    made.close()


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return Path(__file__).parent.parent
