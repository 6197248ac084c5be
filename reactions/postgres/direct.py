"""Runs fixed statements with psycopg2 itself, over connections of SQLAlchemy's pool.

The layers of SQLAlchemy took six times as long as psycopg2 did: 240 of 280 µs of processor for the
first read of a user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from sqlalchemy import Engine, TextClause

from reactions.postgres.socket_watchdog import guard


class DirectReads:
    """Runs statements outside a transaction block: each text is a transaction of its own.

    Args:
        engine: whose connections to use.
        before: what goes before each statement, in the same message.
        deadline_s: the longest wait for the server, in seconds.
    """

    def __init__(self, engine: Engine, before: str, deadline_s: float) -> None:
        self._engine = engine
        self._before = before
        self._deadline_s = deadline_s
        self._texts: dict[TextClause, str] = {}

    def rows(
        self, statement: TextClause, parameters: Mapping[str, Any] | None, *, first: str = ""
    ) -> Sequence[Any]:
        """Return the rows of a statement.

        Args:
            first: what goes before everything else.

        Raises:
            psycopg2.Error: the server refused the statement, or the connection is lost.
            NoAnswer: the server did not answer before the deadline.
            SQLAlchemyError: the pool has no connection to give.
        """
        text = self._texts.get(statement) or self._compile(statement)
        pooled = self._engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            with guard(driver.fileno(), self._deadline_s):
                driver.autocommit = True
                cursor = driver.cursor()
                cursor.execute(first + self._before + text, parameters or {})
                found: Sequence[Any] = cursor.fetchall()
            driver.autocommit = False
        except BaseException as error:
            if isinstance(error, psycopg2.Error) and not driver.closed:
                driver.autocommit = False  # the server refused; the connection is good
            else:
                pooled.invalidate()  # a reply may still come
            raise
        finally:
            pooled.close()
        return found

    def _compile(self, statement: TextClause) -> str:
        self._texts[statement] = made = str(statement.compile(dialect=self._engine.dialect))
        return made
