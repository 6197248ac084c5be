"""The metadata of the tables, on every supported PostgreSQL."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.tables import metadata


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


def test_metadata_and_migrations_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _ours, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def _ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
    """Leave out partitions: they follow their table, and the metadata does not list them."""
    return not (kind in {"table", "index"} and (name or "").startswith("reactions_"))
