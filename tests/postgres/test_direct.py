"""direct.py: what a statement without SQLAlchemy's layers answers, and what its errors do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres import direct
from reactions.postgres.database import QUICK_S, Database, RowsRefused

pytestmark = pytest.mark.slow

WORD = text("SELECT CAST(:word AS text), current_setting('statement_timeout')")
PID = text("SELECT pg_backend_pid()")
TRANSACTION = text("SELECT CAST(pg_current_xact_id() AS text)")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    yield database
    database.close()


@pytest.mark.parametrize("word", ["", "plain", "%", "%(word)s", ":word", "it's", "ünï", "a\nb"])
def test_rows_and_limits_are_those_of_sqlalchemy(database: Database, word: str) -> None:
    given = {"word": word}
    direct = database.execute_at_once(WORD, given)
    layered = database.read(lambda connection: connection.execute(WORD, given).all())
    assert [tuple(row) for row in direct] == [tuple(row) for row in layered]
    assert direct[0][0] == word


def test_sqlalchemy_runs_nothing_when_all_is_well(database: Database) -> None:
    seen: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    assert database.execute_at_once(PID)
    assert not seen


def test_an_error_means_what_sqlalchemy_makes_of_it(database: Database) -> None:
    with pytest.raises(RowsRefused, match="division by zero"):
        database.execute_at_once(text("SELECT 1 / 0"))
    with pytest.raises(ReactionsUnavailable, match="does not exist"):
        database.execute_at_once(text("SELECT nobody FROM nowhere"))
    ((number,),) = database.execute_at_once(text("SELECT 1"))
    assert number == 1


def test_a_batch_that_is_refused_late_is_refused(database: Database) -> None:
    """After a second, too: a batch that counted as an outage would be tried again for ever."""
    late = text("SELECT 1 / length(CAST(pg_sleep(:seconds) AS text))")
    with pytest.raises(RowsRefused, match="division by zero"):
        database.execute_at_once(late, {"seconds": QUICK_S + 0.1})


def test_a_refused_statement_costs_no_connection(database: Database) -> None:
    """Whoever looks for the one bad row of a batch has many refused."""
    ((before,),) = database.execute_at_once(PID)
    for _ in range(3):
        with pytest.raises(RowsRefused):
            database.execute_at_once(text("SELECT 1 / 0"))
    assert database.execute_at_once(PID)[0][0] == before
    with database.transaction() as connection:  # as before, not one transaction a statement
        assert connection.scalar(TRANSACTION) == connection.scalar(TRANSACTION)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_statement_that_is_interrupted_ends_its_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    ((before,),) = database.execute_at_once(PID)

    @contextmanager
    def interrupted(*_: object) -> Iterator[None]:
        yield
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(direct, "guard", interrupted)
        with pytest.raises(error):
            database.execute_at_once(PID)
    assert database.execute_at_once(PID)[0][0] != before


def test_connections_that_the_server_ended_are_replaced(
    database: Database, settings: Settings
) -> None:
    with database.transaction() as connection:
        held = connection.scalar(PID)
        ((free,),) = database.execute_at_once(PID)
    assert held != free
    end = text("SELECT pg_terminate_backend(pid, 60000) FROM unnest(CAST(:pids AS int[])) AS pid")
    other = Database(settings)
    other.execute_at_once(end, {"pids": f"{{{held},{free}}}"})
    other.close()
    ((now,),) = database.execute_at_once(PID)
    assert now not in {held, free}
