"""A client without a Redis, and a standby of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reactions import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from tests.postgres.standby import running_standby, same_database


@pytest.fixture
def nowhere() -> Reactions:
    """A client whose Redis does not exist: every call that sends something fails."""
    return Reactions(Settings(redis_url="redis://127.0.0.1:1/0", broker_url="redis://127.0.0.1:1"))


@pytest.fixture(scope="module")
def standby(postgres: Postgres) -> Iterator[Postgres]:
    """A standby of the server that the tests share."""
    with running_standby(postgres) as server:
        yield server


@pytest.fixture
def standby_url(standby: Postgres, database_url: str) -> str:
    """The test's database on the standby."""
    return same_database(standby, database_url)
