"""What the tests of PostgreSQL share: every supported version, and a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from tests.support.servers import running_postgres


@pytest.fixture(scope="session")
def _postgres_of() -> Iterator[Callable[[int], Postgres]]:
    """version -> a migrated server, which starts when it is first needed."""
    servers: dict[int, Postgres] = {}
    with ExitStack() as stack:

        def start(version: int) -> Postgres:
            if version not in servers:
                server = stack.enter_context(running_postgres(version))
                migrate(Settings(database_url=server.url))
                servers[version] = server
            return servers[version]

        yield start


@pytest.fixture(scope="module", params=[15, 16, 18])
def each_postgres(
    request: pytest.FixtureRequest, _postgres_of: Callable[[int], Postgres]
) -> Postgres:
    """Run the tests of a module on every supported PostgreSQL."""
    return _postgres_of(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(Settings(database_url=database_url, database_timeout_s=2))
    yield database
    database.close()
