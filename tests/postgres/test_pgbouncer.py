"""PgBouncer in transaction mode, as installed: everything works, and no limit is lost or leaked."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.ops.doctor.findings import State
from reactions.ops.doctor.postgres import check_postgres
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.postgres.limits import in_force
from reactions.postgres.migrate import at_head, migrate
from reactions.postgres.queries import Queries
from tests.support.pgbouncer import running_pgbouncer

pytestmark = pytest.mark.slow

TRACKED = {"application_name", "client_encoding", "DateStyle", "TimeZone"}
"""Settings that PgBouncer itself sets anew for each client."""

LEFT_BEHIND = """
SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_cursors)
    + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
    + (SELECT count(*) FROM pg_class WHERE relpersistence = 't')
"""


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def settings(own_database_url: str) -> Iterator[Settings]:
    """All clients share one connection to PostgreSQL, so what one leaves behind another finds."""
    with running_pgbouncer(own_database_url, connections=1) as url:
        yield Settings(database_url=url, database_timeout_s=2)


@pytest.fixture
def bounced(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    yield database
    database.close()


def test_drains_reads_and_commands_work(settings: Settings, bounced: Database) -> None:
    migrate(settings, "base")
    migrate(settings)
    assert at_head(settings)
    assert Ledger(bounced).record([Row(1, 7, 1, 1)]).changed == 1
    assert Queries(bounced).reactions([1]) == {1: {7: 1}}
    assert Queries(bounced).counts_with_changes({1: {8: (1, 2)}}) == {1: {1: 2}}
    found = {finding.check: finding for finding in check_postgres(bounced, settings)}
    assert found["limits"].state is found["migrations"].state is State.OK


def test_limits_are_in_force_and_stay_with_their_transaction(
    settings: Settings, bounced: Database
) -> None:
    with bounced.transaction() as connection:
        assert in_force(connection, bounced.limits) == bounced.limits
    with pytest.raises(ReactionsUnavailable, match="statement timeout"):
        bounced.execute_at_once(text("SELECT pg_sleep(60)"))
    migrate(settings, "0003")  # builds indexes outside a transaction, too
    migrate(settings)
    other = psycopg2.connect(settings.database_url.get_secret_value().replace("+psycopg2", ""))
    with other, other.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings WHERE source = 'session'")
        assert {name for (name,) in cursor.fetchall()} <= TRACKED
        cursor.execute(LEFT_BEHIND)
        assert cursor.fetchone() == (0,)
    other.close()
