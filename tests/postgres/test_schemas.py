"""In one database with an application: its tables, and its Alembic, stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from reactions.core.errors import InvalidSettings, ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.ledger import Ledger
from reactions.postgres.migrate import at_head, migrate
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from tests.support.databases import bare_database

pytestmark = pytest.mark.slow

APPLICATION = """
CREATE TABLE posts (id bigint PRIMARY KEY, title text);
CREATE TABLE reactions (post_id bigint, user_id bigint, version bigint, reaction smallint);
CREATE TABLE reaction_counts (post_id bigint, reaction smallint, count bigint);
CREATE TABLE reaction_types (code smallint, name text);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO posts VALUES (1, 'ours');
INSERT INTO reactions VALUES (1, 99, 1, 1);
INSERT INTO alembic_version VALUES ('{revision}');
"""

CONTENT = (
    "SELECT * FROM public.posts",
    "SELECT * FROM public.reactions",
    "SELECT count(*) FROM public.reaction_counts",
    "SELECT * FROM public.alembic_version",
)

OURS = (
    "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')"
)

FILES = """
SELECT array_agg(pg_relation_filenode(oid) ORDER BY relname) FROM pg_class
WHERE relname ~ '^(pk_|ix_)?(reaction|posts|runs)' AND relkind IN ('r', 'i')
"""


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def bare_url(postgres: Postgres) -> Iterator[str]:
    with bare_database(postgres.url) as url:
        yield url


def sql(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        rows = list(cursor.fetchall()) if cursor.description else []
    connection.close()
    return rows


def work(settings: Settings, version: int) -> None:
    """Use tables, the function, an identity, and the estimate that names a table."""
    database = Database(settings)
    assert Ledger(database).record([Row(1, 7, 1, version)]).changed == 1
    assert Queries(database).reactions([1]) == {1: {7: 1}}
    assert Queries(database).counts([1]) == {1: {1: 1}}
    DeadLetters(database).add("1", "7", "1:1", f"refused {version}")
    assert Posts(database).count_by_tier() == {0: 1}
    database.close()


@pytest.mark.parametrize("revision", ["d259a9bca9e7", "0001", "0008"])
def test_beside_tables_and_an_alembic_of_the_same_names(bare_url: str, revision: str) -> None:
    sql(bare_url, APPLICATION.format(revision=revision))
    before = [sql(bare_url, statement) for statement in CONTENT]
    settings = Settings(database_url=bare_url)
    assert not at_head(settings)
    migrate(settings)
    assert at_head(settings)
    work(settings, 1)
    assert [sql(bare_url, statement) for statement in CONTENT] == before
    assert len(sql(bare_url, OURS, "public")) == 5
    with pytest.raises(ReactionsUnavailable, match="schema public has a table alembic_version"):
        migrate(settings, "0008")
    assert sql(bare_url, "SELECT version_num FROM reactions.alembic_version") == [("0009",)]
    migrate(settings)
    work(settings, 2)


def test_two_schemas_in_one_database(bare_url: str) -> None:
    one, two = (Settings(database_url=bare_url, database_schema=s) for s in ("order", "likes"))
    for settings in (one, two):
        migrate(settings)
        work(settings, 1)
    migrate(two, "base")
    assert at_head(one)


@pytest.mark.parametrize("revision", ["0001", "0006", "0008"])
def test_an_installation_moves_without_a_copy(bare_url: str, revision: str) -> None:
    older = Settings(database_url=bare_url, database_schema="public")
    migrate(older, revision)
    sql(bare_url, "INSERT INTO reaction_types VALUES (1, 'like')")
    sql(bare_url, "INSERT INTO reactions VALUES (5, 8, 3, 1)")
    sql(bare_url, 'INSERT INTO dead_letters (post, "user", value, reason) VALUES (1, 1, 1, 1)')
    before = sql(bare_url, FILES)
    settings = Settings(database_url=bare_url)
    assert not at_head(settings)
    migrate(settings)
    assert at_head(settings)
    assert sql(bare_url, OURS, "public") == []
    if revision == "0008":  # earlier ones add indexes and tables
        assert sql(bare_url, FILES) == before
    work(settings, 4)
    database = Database(settings)
    assert Queries(database).reactions([5]) == {5: {8: 1}}
    assert [letter.id for letter in DeadLetters(database).list(9)] == [1, 2]
    database.close()


def test_the_way_down_leads_where_older_versions_look(bare_url: str) -> None:
    settings = Settings(database_url=bare_url)
    migrate(settings)
    work(settings, 1)
    migrate(settings, "0008")
    assert sql(bare_url, OURS, "reactions") == []
    assert sql(bare_url, "SELECT version_num FROM alembic_version") == [("0008",)]
    assert sql(bare_url, "SELECT count(*) FROM reactions") == [(1,)]
    work(Settings(database_url=bare_url, database_schema="public"), 2)
    migrate(settings)
    work(settings, 3)
    assert sql(bare_url, OURS, "public") == []


def test_a_table_in_the_way_moves_nothing(bare_url: str) -> None:
    settings = Settings(database_url=bare_url)
    migrate(settings)
    sql(bare_url, "CREATE TABLE public.runs ()")
    with pytest.raises(ReactionsUnavailable, match="schema public has a table runs already"):
        migrate(settings, "0008")
    assert sql(bare_url, "SELECT version_num FROM reactions.alembic_version") == [("0009",)]
    migrate(settings)
    work(settings, 1)


def test_a_revision_that_this_version_does_not_know(bare_url: str) -> None:
    sql(bare_url, "CREATE SCHEMA reactions")
    sql(bare_url, "CREATE TABLE reactions.alembic_version (version_num varchar(32))")
    sql(bare_url, "INSERT INTO reactions.alembic_version VALUES ('d259a9bca9e7')")
    for revision in ("head", "0008"):
        with pytest.raises(InvalidSettings, match=r"d259a9bca9e7.*another REACTIONS_DATABASE_SCHE"):
            migrate(Settings(database_url=bare_url), revision)
