"""The limits hold in every transaction, and need neither start-up parameters nor the session."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, text

from reactions.core.errors import ReactionsUnavailable
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.limits import in_force

pytestmark = pytest.mark.slow

LIMITS = {
    "statement_timeout": "2000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "3000",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

DRIVER = {"application_name", "client_encoding", "DateStyle"}
"""What libpq and psycopg2 themselves send; PgBouncer takes these as installed."""


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


def settings_by(database: Database, source: str) -> set[str]:
    """Names of the settings of a session that have this source, outside any transaction."""
    wanted = "SELECT name FROM pg_settings WHERE source = %s"
    raw: Any = database.engine.raw_connection()
    try:
        raw.driver_connection.autocommit = True
        cursor = raw.driver_connection.cursor()
        cursor.execute(wanted, (source,))
        return {name for (name,) in cursor.fetchall()}
    finally:
        raw.driver_connection.autocommit = False
        raw.close()


def test_they_are_in_force_and_leave_nothing_in_the_session(database: Database) -> None:
    assert database.limits == LIMITS
    names = [*LIMITS]
    for isolation in (None, "REPEATABLE READ"):
        with database.transaction(isolation) as connection:
            assert in_force(connection, names) == LIMITS
            assert in_force(connection, names) == LIMITS  # also in a later statement
    at_once = database.read(lambda connection: in_force(connection, names))
    assert at_once == {**LIMITS, "idle_in_transaction_session_timeout": "0"}  # it cannot idle
    assert not settings_by(database, "session") & LIMITS.keys()
    assert settings_by(database, "client") <= DRIVER


def test_they_end_what_takes_too_long(database: Database) -> None:
    with pytest.raises(ReactionsUnavailable, match="statement timeout"):
        database.execute_at_once(text("SELECT pg_sleep(60)"))
    cancelled = pytest.raises(ReactionsUnavailable, match="statement timeout")
    with cancelled, database.transaction() as connection:
        connection.execute(text("SELECT 1"))
        connection.execute(text("SELECT pg_sleep(60)"))


def test_they_take_no_message_of_their_own(database: Database) -> None:
    """PostgreSQL gives a transaction's statements one time for each message of the client."""
    moment = text("SELECT statement_timestamp(), now()")
    ((statement, transaction),) = database.execute_at_once(moment)
    assert statement == transaction  # the transaction began with the message of the statement


def test_every_way_to_execute_has_them(database: Database) -> None:
    wanted = text("SELECT current_setting('lock_timeout')")
    with database.engine.connect() as connection:
        streamed = connection.execution_options(stream_results=True).execute(wanted)
        assert streamed.scalars().all() == ["2s"]
    with database.transaction() as connection:
        added = text("INSERT INTO findings VALUES (:duty, current_setting('lock_timeout'), 1)")
        connection.execute(added.bindparams(bindparam("duty")), [{"duty": "one"}, {"duty": "two"}])
        kinds = connection.scalars(text("SELECT kind FROM findings")).all()
        assert kinds == ["2s", "2s"]


def test_statements_that_stand_alone_are_left_alone(database: Database) -> None:
    plain = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with plain.connect() as connection:
        connection.execute(text("VACUUM reactions.posts"))
        connection.execute(text("CREATE INDEX CONCURRENTLY later ON reactions.posts (checked)"))
