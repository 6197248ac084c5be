"""The migrations, on every supported PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from alembic import command
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.migrate import at_head, config_for, migrate
from reactions.postgres.tables import PARTITIONS


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """A database of its own: the test removes its tables."""
    return own_database_url


def test_down_and_up_again(database_url: str, database: Database) -> None:
    settings = Settings(database_url=database_url)
    assert at_head(settings)
    migrate(settings, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    assert not at_head(settings)
    migrate(settings)
    assert at_head(settings)
    partitions = [t for t in inspect(database.engine).get_table_names() if t[:10] == "reactions_"]
    assert len(partitions) == PARTITIONS


def test_a_migration_can_be_written_as_sql(capsys: pytest.CaptureFixture[str]) -> None:
    """Some teams let a database administrator run the SQL."""
    command.upgrade(config_for(), "head", sql=True)
    assert "PARTITION BY HASH (post_id)" in capsys.readouterr().out
