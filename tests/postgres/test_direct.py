"""direct.py: what a statement without SQLAlchemy's layers answers, and what its errors do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event, text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.database import Database, RowsRefused

pytestmark = pytest.mark.slow

WORD = text("SELECT CAST(:word AS text), current_setting('statement_timeout')")
PID = text("SELECT pg_backend_pid()")


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
