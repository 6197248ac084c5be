"""socket_watchdog.py: a server that stops to answer in the middle of a call."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.database import Database, RowsRefused
from reactions.postgres.socket_watchdog import Watchdog
from tests.support.service_name import ServiceName, service_name
from tests.support.waiting import bounded, patience

pytestmark = pytest.mark.slow

ONE = text("SELECT 1")


@pytest.fixture
def name(database_url: str) -> Iterator[ServiceName]:
    """An address of the server that can go silent."""
    with service_name(Path(str(make_url(database_url).query["host"])) / ".s.PGSQL.5432") as name:
        yield name


@pytest.fixture
def silenced(database_url: str, name: ServiceName) -> Iterator[Database]:
    """Its limit for one statement is 0.4 s on a quiet machine."""
    parts = make_url(database_url)
    url = f"postgresql://postgres@127.0.0.1:{name.port}/{parts.database}"
    database = Database(Settings(database_url=url, database_timeout_s=patience(0.4)))
    yield database
    database.close()


def read(database: Database, before: Callable[[], None]) -> int:
    def query(connection: Connection) -> int:
        before()
        return int(connection.scalar(ONE) or 0)

    return database.read(query)


def write(database: Database, before: Callable[[], None]) -> int:
    with database.transaction() as connection:
        before()  # nothing is open on the server, which would end an idle transaction
        return int(connection.scalar(ONE) or 0)


@pytest.mark.parametrize("call", [read, write])
def test_the_error_says_how_long_nothing_came(
    silenced: Database, name: ServiceName, call: Callable[[Database, Callable[[], None]], int]
) -> None:
    """The next call has a new connection."""
    assert call(silenced, lambda: None) == 1
    with bounded(20), pytest.raises(ReactionsUnavailable, match=r"no answer within [\d.]+ s.*froz"):
        call(silenced, name.drop_silently)
    assert call(silenced, lambda: None) == 1


def test_an_error_before_the_deadline_stays_what_it_is(silenced: Database) -> None:
    with pytest.raises(RowsRefused, match="division by zero"):
        silenced.read(lambda connection: connection.execute(text("SELECT 1 / 0")).all())


def test_each_deadline_holds_whatever_the_watchdog_waits_for() -> None:
    """It sleeps until the earliest deadline that it knows, also when that call has ended by then.

    A wait of a socket that nobody shuts down lasts for ever here.
    """
    watchdog = Watchdog()
    for seconds in (0.2, 600, 0.1, 0.2, 0.05):  # a long one ends at once; others run out
        ours, theirs = socket.socketpair()
        with ours, theirs, watchdog.guard(ours.fileno(), seconds):
            if seconds < 1:
                assert ours.recv(1) == b""
    (ours, theirs), (other, far) = socket.socketpair(), socket.socketpair()
    with ours, theirs, other, far, watchdog.guard(ours.fileno(), 600):
        with watchdog.guard(other.fileno(), 0.1):
            assert other.recv(1) == b""
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
