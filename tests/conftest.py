"""Fixtures: real servers for a session, a clean pair of stores for each test.

Redis is flushed and the database is emptied, so a test sees nothing of another. Every server is on
a free port, in a temporary folder, and stopped at the end.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import redis.utils
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.postgres.migrate import migrate
from tests.support.databases import ReusedDatabase, own_database
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.profiles import load_profile, scale
from tests.support.rabbitmq import RabbitMq, running_rabbitmq
from tests.support.reading import SMALL_SAMPLE, VIRAL, shrink
from tests.support.scheduling import Scheduling
from tests.support.servers import running_postgres, running_redis
from tests.support.types import write_default_types
from tests.support.waiting import patience, patient

TEST_TIMEOUT_S = 300
SERVERS = {"postgres", "stack"}
"""Fixtures whose tests need more than one Redis, so `make check` leaves them out."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Prepare before pytest-timeout reads its variable, and before tests are imported."""
    config.pluginmanager.register(Scheduling())
    load_profile()
    os.environ.setdefault("PYTEST_TIMEOUT", str(patience(TEST_TIMEOUT_S * max(scale(), 1.0))))
    # Each client that redis-py makes reads the metadata of its package, which takes 0.5 ms.
    redis.utils.get_lib_version = cache(redis.utils.get_lib_version)


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from 250 MB of modules and tests, which stay to the end."""
    gc.collect()
    gc.freeze()
    # Also for processes that tests start. A machine that stalls for two seconds fails no test.
    for name, seconds in {"redis_timeout_s": patience(2), **patient()}.items():
        os.environ.setdefault(f"REACTIONS_{name.upper()}", str(seconds))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that are marked ``slow``, so that no process ends long after the other.

    Then mark the tests that use PostgreSQL too.
    """
    items.sort(key=lambda item: not _in_slow_file(item))
    for item in items:
        if not SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def _in_slow_file(item: pytest.Item) -> bool:
    file = item.getparent(pytest.Module)
    return file is not None and any(mark.name == "slow" for mark in file.own_markers)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_redis(tmp_path_factory.mktemp("valkey"), "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres(18) as server:
        migrate(Settings(database_url=server.url))
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    with running_rabbitmq() as server:
        yield server


@pytest.fixture(scope="session")
def reused_databases() -> dict[str, ReusedDatabase]:
    """URL of a server -> its database that tests use one after the other."""
    return {}


@pytest.fixture
def database_url(postgres: Postgres, reused_databases: dict[str, ReusedDatabase]) -> Iterator[str]:
    """An empty database with the migrated schema."""
    if postgres.url not in reused_databases:
        reused_databases[postgres.url] = ReusedDatabase(postgres.url)
    database = reused_databases[postgres.url]
    yield database.url
    database.clean()


@pytest.fixture
def own_database_url(postgres: Postgres) -> Iterator[str]:
    """A new database with the migrated schema, for a test that changes the schema."""
    with own_database(postgres.url) as url:
        yield url


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """A Redis with nothing in it."""
    with Redis(port=valkey.port) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def settings(redis_url: str, database_url: str) -> Settings:
    """Short lives and delays; the broker is dead unless a test brings one.

    Redis has the copy of the registry of reaction types.
    Where the machine is busy, stores may answer later, and a lease does not lapse within a step.
    """
    with Redis.from_url(redis_url) as client:
        write_default_types(client)
    return Settings(
        redis_url=redis_url,
        database_url=database_url,
        broker_url=DEAD_BROKER,
        viral_horizon_s=0,  # tests of tiers are not to depend on how fast they run
        lease_s=patience(1),
        redis_timeout_s=patience(0.5),
        **patient(),
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
