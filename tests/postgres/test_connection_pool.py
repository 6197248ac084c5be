"""connection_pool.py: servers that became standbys or read-only, and connections idle for long."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.ops.doctor import State
from reactions.postgres import connection_pool
from reactions.postgres.connection_pool import tells_of_role
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.postgres.migrate import migrate
from reactions.postgres.server_role import server_role
from tests.ops.doctor.examining import findings
from tests.postgres.standby import read_only, running_standby
from tests.support.servers import running_postgres
from tests.support.service_name import ServiceName, service_name
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow


def process_of(database: Database) -> int:
    """The number of the server process that a connection of the pool leads to."""
    with database.transaction() as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")))


def record(database: Database, version: int) -> int:
    return Ledger(database).record([Row(1, 1, 1, version)]).changed


def hold_two(database: Database) -> set[int]:
    """Open two connections, which are idle afterwards."""
    with database.transaction() as one, database.transaction() as two:
        asked = text("SELECT pg_backend_pid()")
        return {int(one.scalar(asked)), int(two.scalar(asked))}


def test_a_server_that_became_read_only_is_left(database: Database, postgres: Postgres) -> None:
    assert record(database, 1) == 1
    before = hold_two(database)
    with read_only(postgres):
        with pytest.raises(ReactionsUnavailable, match=r"read-only.*name the primary"):
            record(database, 2)
        assert not hold_two(database) & before
        assert server_role(database) == "read-only"
    with suppress(ReactionsUnavailable):  # an idle session may not have seen the reload yet
        record(database, 2)
    assert record(database, 3) == 1


def test_a_session_that_the_operator_ends_takes_its_idle_siblings_along(
    database: Database,
) -> None:
    before = hold_two(database)
    with pytest.raises(ReactionsUnavailable), database.transaction() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not hold_two(database) & before


def test_reads_leave_a_server_that_says_it_is_read_only(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fail nowhere, so nothing but what the server reports tells them."""

    def reads() -> int:
        asked = text("SELECT pg_backend_pid()")
        return database.read(lambda connection: int(connection.scalar(asked) or 0))

    before = reads()
    with read_only(postgres):
        monkeypatch.setattr(connection_pool, "MAX_READ_ONLY_S", patience(0.3))
        wait_until(lambda: reads() != before, what="another connection")
        monkeypatch.setattr(connection_pool, "MAX_READ_ONLY_S", 600.0)
        assert reads() == reads()  # it serves reads meanwhile, and does not connect for each


def test_a_connection_that_was_idle_for_long_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = process_of(database)
    assert process_of(database) == before
    monkeypatch.setattr(connection_pool, "MAX_IDLE_S", 0.01)
    time.sleep(0.02)
    assert process_of(database) != before


STATES = ("25006", "57P01", "57P02", "57P03", "57P04")


class Refusal(Exception):
    """An error of the driver."""

    def __init__(self, state: str, words: str = "") -> None:
        super().__init__(words)
        self.pgcode = state


@pytest.mark.parametrize(
    ("error", "of_role"),
    [
        *((Refusal(state), True) for state in STATES),
        (Refusal("55000", "cannot acquire lock while recovery is in progress"), True),
        (Refusal("40001", "canceling statement due to conflict with recovery"), True),
        (Refusal("40001", "could not serialize access"), False),
        (Refusal("22P02", 'invalid input: "during recovery"'), False),
        (ValueError("x"), False),
    ],
)
def test_what_tells_of_a_role(error: Exception, of_role: bool) -> None:
    assert tells_of_role(error) is of_role


# -- a primary and its standby behind one name -----------------------------------------------------


def socket_of(server: Postgres) -> Path:
    return Path(str(make_url(server.url).query["host"])) / ".s.PGSQL.5432"


def check_two_hosts(standby: ServiceName, primary: Postgres) -> None:
    """libpq takes the host that takes writes."""
    with service_name(socket_of(primary)) as other:
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{other.port}"
        url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        database = Database(Settings(database_url=url))
        assert server_role(database) == "primary"
        database.close()


def test_a_name_that_led_to_a_standby(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a switch-over: what is connected stays with the standby, which refuses every write."""
    monkeypatch.setattr(connection_pool, "MAX_READ_ONLY_S", 600.0)
    with running_postgres(18) as primary:
        migrate(Settings(database_url=primary.url))
        with running_standby(primary) as standby, service_name(socket_of(standby)) as name:
            url = f"postgresql://postgres@127.0.0.1:{name.port}/postgres"
            settings = Settings(database_url=url, database_timeout_s=patience(2))
            database = Database(settings)
            hold_two(database)
            with pytest.raises(ReactionsUnavailable, match="a standby, or read-only"):
                record(database, 1)
            hold_two(database)
            assert server_role(database) == "standby"
            assert findings(settings)["postgresql role"].state is State.FAILURE
            check_two_hosts(name, primary)
            name.target = socket_of(primary)
            with (
                pytest.raises(ReactionsUnavailable, match="a standby, or read-only"),
                database.transaction() as connection,
            ):
                connection.execute(text("DELETE FROM reactions"))
            assert record(database, 1) == 1
            assert server_role(database) == "primary"
            assert findings(settings)["postgresql role"].state is State.OK
            database.close()


# -- connections that went silent while idle -------------------------------------------------------


def test_connections_that_went_silent_fail_no_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five connections after a quiet night, for reads and for transactions."""
    parts = make_url(database_url)
    with service_name(Path(str(parts.query["host"])) / ".s.PGSQL.5432") as name:
        url = f"postgresql://postgres@127.0.0.1:{name.port}/{parts.database}"
        database = Database(Settings(database_url=url, database_timeout_s=patience(1)))
        meeting = threading.Barrier(5)

        def calls(number: int) -> None:
            with database.transaction():
                meeting.wait(patience(20))
            if meeting.wait(patience(20)) == 0:
                name.drop_silently()
                monkeypatch.setattr(connection_pool, "MAX_IDLE_S", patience(0.2))
                time.sleep(patience(0.3))  # the night
            meeting.wait(patience(20))
            if number % 2:
                record(database, 1)
            else:
                server_role(database)

        with ThreadPoolExecutor(5) as threads:
            list(threads.map(calls, range(5)))
        database.close()
