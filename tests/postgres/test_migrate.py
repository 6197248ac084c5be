"""The migrations, on every supported PostgreSQL."""

from __future__ import annotations

import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
from alembic.config import CommandLine
from sqlalchemy import inspect, text

from alembic import command
from reactions.core.errors import InvalidArgument, ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.migrate import at_head, config_for, migrate
from reactions.postgres.partitions import DEFAULT_PARTITIONS, names_of
from reactions.postgres.repartition import Repartition
from tests.support.databases import bare_database
from tests.support.servers import postgres_binaries


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
    assert inspect(database.engine).get_table_names() == []
    assert not at_head(settings)
    migrate(settings)
    assert at_head(settings)
    partitions = [t for t in inspect(database.engine).get_table_names() if t[:10] == "reactions_"]
    assert len(partitions) == DEFAULT_PARTITIONS


def test_the_first_migration_chooses_the_number_of_partitions(postgres: Postgres) -> None:
    """Later ones find the partitions, whatever their number."""
    with bare_database(postgres.url) as url:
        settings = Settings(database_url=url)
        migrate(settings, "0008", partitions=19)
        migrate(settings)
        database = Database(settings)
        with database.engine.begin() as connection:
            names = names_of(connection)
            assert [len(names), min(names), max(names)] == [19, "reactions_00", "reactions_18"]
            assert (
                connection.scalar(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == 0
            )
        with pytest.raises(InvalidArgument, match="must be 19, which the tables have"):
            migrate(settings, partitions=16)
        with pytest.raises(InvalidArgument, match="partitions must be 1 to 256"):
            migrate(settings, partitions=257)
        migrate(settings, "base")
        migrate(settings, partitions=1)
        with database.engine.begin() as connection:
            assert names_of(connection) == ["reactions_00"]
        database.close()


def test_an_index_whose_build_was_interrupted_is_built(
    database_url: str, database: Database
) -> None:
    """A part of it is done, and another part is broken."""
    settings, name = Settings(database_url=database_url), "ix_reactions_removed"
    migrate(settings, "0004")
    with database.engine.begin() as connection:
        for index, table in (
            (name, "ONLY public.reactions"),
            (f"{name}_00", "public.reactions_00"),
            (f"{name}_01", "public.reactions_01"),
        ):
            statement = f"CREATE INDEX {index} ON {table} (version) WHERE reaction = 0"
            connection.execute(text(statement))
        broken = text(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)"
        )
        connection.execute(broken, {"name": f"public.{name}_01"})
    migrate(settings)
    with database.engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")) == 0
        parts = text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(:name)")
        assert connection.scalar(parts, {"name": name}) == DEFAULT_PARTITIONS


def test_it_gives_up_rather_than_block_and_can_be_run_again(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways: a strong lock that waits makes every later statement wait behind it."""
    settings = Settings(database_url=database_url)
    for revision in ("0009", "head"):  # 0010 changes reaction_types
        with monkeypatch.context() as patch, database.engine.begin() as other:
            patch.setattr("reactions.postgres.migrate.LOCK_TIMEOUT", "'50ms'")
            other.execute(text("LOCK TABLE reaction_types IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(ReactionsUnavailable, match="lock timeout"):
                migrate(settings, revision)
        migrate(settings, revision)
    assert at_head(settings)


@pytest.mark.parametrize(("installed", "partitions"), [("", 3), ("0008", 16)])
def test_a_migration_can_be_written_as_sql(
    postgres: Postgres, installed: str, partitions: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some teams let a database administrator run the SQL."""
    with bare_database(postgres.url) as url:
        if installed:
            migrate(Settings(database_url=url, database_schema="public"), installed)
            capsys.readouterr()
        config = config_for()
        config.cmd_opts = Namespace(x=[f"partitions={partitions}"])
        command.upgrade(config, f"{installed}:head" if installed else "head", sql=True)
        psql = [str(postgres_binaries(18) / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
        written = capsys.readouterr().out
        subprocess.run(psql, input=written, text=True, check=True, stdout=subprocess.DEVNULL)
        assert at_head(Settings(database_url=url))
        assert Repartition(Settings(database_url=url)).numbers() == (partitions, None)


def test_the_alembic_command_of_a_checkout(
    postgres: Postgres, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes an engine of its own, and finds the version table where `migrate` puts it."""
    ini = ["-c", str(project / "alembic.ini")]
    with bare_database(postgres.url) as url:
        monkeypatch.setenv("REACTIONS_DATABASE_URL", url)
        for words in (("upgrade", "head"), ("downgrade", "0007"), ("upgrade", "head")):
            CommandLine().main([*ini, *words])
            assert at_head(Settings(database_url=url)) == (words[0] == "upgrade")
