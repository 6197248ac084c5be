"""Fixtures: real servers for a session, a clean pair of stores for each test.

Redis is flushed and PostgreSQL gets a database copied from a migrated template, so a test sees
nothing of another. Every server is on a free port, in a temporary folder, and stopped at the end.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, make_url, text

from reactions.api import Reactions
from reactions.cache import Cache
from reactions.client import Client, connect
from reactions.database import Database
from reactions.embedded import Postgres, Valkey
from reactions.erase import Eraser
from reactions.ledger import Ledger
from reactions.load import Loader
from reactions.migrate import migrate
from reactions.outbox import Outbox
from reactions.persist import Persister
from reactions.queries import Queries
from reactions.settings import Settings
from reactions.verify import Verification, Verifier
from tests.servers import running_postgres, running_redis

_databases = itertools.count()

DEAD_BROKER = "redis://127.0.0.1:1/0"  # nobody listens there: wake-ups fail at once


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with running_redis(tmp_path_factory.mktemp("valkey"), "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres(18) as server:
        migrate(Settings(database_url=server.url))
        yield server


def execute_admin(server_url: str, statement: str) -> None:
    """A statement outside a transaction, on the maintenance database template1."""
    url = make_url(server_url.replace("postgresql://", "postgresql+psycopg2://", 1))
    engine = create_engine(url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


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


@dataclass
class Engine:
    """Everything that works on one pair of stores, without Celery."""

    settings: Settings
    client: Client
    reactions: Reactions
    cache: Cache
    outbox: Outbox
    database: Database
    ledger: Ledger
    queries: Queries
    persister: Persister
    loader: Loader
    eraser: Eraser

    def drain(self) -> None:
        """Drain every shard until nothing is pending."""
        while self.outbox.pending():
            self.persister.drain(range(100))

    def verify(self) -> Verification:
        return Verifier(self.client, self.database, self.settings).verify()

    def close(self) -> None:
        self.reactions.close()
        self.database.close()
        self.client.close()


def make_engine(settings: Settings) -> Engine:
    client = connect(settings)
    database = Database(settings)
    cache, queries = Cache(client, settings), Queries(database)
    return Engine(
        settings,
        client,
        Reactions(settings),
        cache,
        Outbox(client, settings),
        database,
        Ledger(database),
        queries,
        Persister(client, database, settings),
        Loader(cache, queries, settings),
        Eraser(client, database, settings),
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(settings)
    yield engine
    engine.close()


def wait_until(condition: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait for a condition, never for a guessed time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return Path(__file__).parent.parent
