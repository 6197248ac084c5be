"""``reactions.postgres.layout``: which revisions a version runs beside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from reactions.core.errors import LayoutMismatch
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.layout import check_at_start, check_layout, known_revisions
from reactions.postgres.migrate import config_for, mark_oldest, migrate

HEAD = max(known_revisions())
NEXT, LATER = f"{int(HEAD) + 1:04}", f"{int(HEAD) + 2:04}"


@pytest.fixture
def database(own_database_url: str) -> Iterator[Database]:
    database = Database(Settings(database_url=own_database_url, database_timeout_s=2))
    yield database
    database.close()


def migrate_as_a_newer_version(database: Database, revision: str, oldest: str | None) -> None:
    """What the last migration of a newer version leaves."""
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
        with Operations.context(MigrationContext.configure(connection)):
            mark_oldest(oldest)


def test_the_revisions_are_those_that_alembic_finds() -> None:
    scripts = ScriptDirectory.from_config(config_for())
    assert known_revisions() == {script.revision for script in scripts.walk_revisions()}
    assert scripts.get_current_head() == HEAD


def test_the_schema_of_this_version(database: Database) -> None:
    assert check_layout(database) == HEAD


@pytest.mark.parametrize("oldest", [None, "0001", HEAD])
def test_a_newer_schema_that_this_version_may_run_beside(
    database: Database, oldest: str | None
) -> None:
    migrate_as_a_newer_version(database, LATER, oldest)
    assert check_layout(database) == LATER


def test_a_newer_schema_that_lacks_what_this_version_needs(database: Database) -> None:
    migrate_as_a_newer_version(database, LATER, NEXT)
    with pytest.raises(LayoutMismatch, match=f"{LATER}, .* knows {NEXT}; .* install the version"):
        check_layout(database)
    migrate_as_a_newer_version(database, LATER, None)  # the way down
    check_layout(database)


def test_an_older_schema(own_database_url: str, database: Database) -> None:
    older = sorted(known_revisions())[-2]
    migrate(Settings(database_url=own_database_url), older)
    with pytest.raises(LayoutMismatch, match=f"{older}.* needs {HEAD}; run: reactions migrate"):
        check_layout(database)


def test_a_database_without_tables_and_a_schema_of_another_program(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ae1027a6acf'"))
    with pytest.raises(LayoutMismatch, match="set REACTIONS_DATABASE_SCHEMA"):
        check_layout(database)
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(LayoutMismatch, match="no tables of reactions yet; run: reactions migrate"):
        check_layout(database)


def test_a_process_that_starts_without_postgresql_starts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/none", read_timeout_s=0.5)
    check_at_start(nowhere, "a-test")
    assert "the layout of PostgreSQL is not checked" in caplog.text
