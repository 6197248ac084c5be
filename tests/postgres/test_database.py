"""Connections to every supported PostgreSQL: dead ones, timeouts, errors without secrets."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.postgres.locks import LOCK_CLASS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def test_a_lock_that_another_transaction_keeps_is_an_error_in_time(
    ledger: Ledger, database: Database
) -> None:
    with database.engine.begin() as other:
        other.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, 1)"))
        with pytest.raises(ReactionsUnavailable, match="timeout"):
            ledger.record([Row(1, 1, 1, 1)])
    assert ledger.record([Row(1, 1, 1, 1)]).changed == 1


def test_a_connection_that_died_is_replaced(ledger: Ledger, database: Database) -> None:
    ledger.record([Row(1, 1, 1, 1)])
    with database.engine.connect() as other:
        other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert ledger.record([Row(1, 1, 1, 2)]).changed == 1


def test_a_read_whose_connection_dies_is_done_again_once(database: Database) -> None:
    killed = list[int]()

    def query(connection: Connection, deaths: int) -> int:
        own = connection.scalar(text("SELECT pg_backend_pid()"))
        if len(killed) < deaths:
            killed.append(own)
            with database.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": own})
        return int(connection.scalar(text("SELECT pg_backend_pid()")))

    assert database.read(lambda connection: query(connection, 1)) not in killed
    assert len(killed) == 1
    with pytest.raises(ReactionsUnavailable):
        database.read(lambda connection: query(connection, 3))
    assert len(killed) == 3


def test_a_process_that_vanished_in_a_transaction_loses_its_locks(
    database_url: str, ledger: Ledger
) -> None:
    """Its connection stays open but silent, as after a network failure or a stopped process."""
    vanished = Database(Settings(database_url=database_url, database_timeout_s=0.2))
    with vanished.engine.connect() as connection:
        connection.execute(text("LOCK TABLE reactions"))
        assert ledger.record([Row(1, 1, 1, 1)]).changed == 1  # its own timeout is 2 s
        connection.invalidate()
    vanished.close()


def test_an_error_shows_neither_statement_nor_password() -> None:
    secret = Ledger(Database(Settings(database_url="postgresql://me:hunter2@127.0.0.1:1/x")))
    with pytest.raises(ReactionsUnavailable) as error:
        secret.record([Row(1, 1, 1, 1)])
    shown = f"{error.value} {error.value!r} {error.value.__cause__}"
    assert "hunter2" not in shown


def test_a_process_opens_no_more_connections_than_the_setting_says(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_connections=2, database_timeout_s=0.2)
    small = Database(settings)
    refused = pytest.raises(ReactionsUnavailable, match="PostgreSQL cannot serve")
    with small.transaction(), small.transaction(), refused, small.transaction():
        pytest.fail("a third connection")
    with small.transaction() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    small.close()
