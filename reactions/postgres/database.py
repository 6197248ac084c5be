"""The connections to PostgreSQL, and the one place that translates its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Self, TypeVar

import psycopg2.errors
from sqlalchemy import Connection, Engine, Executable, TextClause, event
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    SQLAlchemyError,
)

from reactions.core.errors import ReactionsError, ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.address import options_of, parameters_of
from reactions.postgres.advice import advice
from reactions.postgres.connection_pool import STANDBY_ADVICE, refuses_caches, refuses_writes, watch
from reactions.postgres.direct import DirectReads
from reactions.postgres.engine import make_engine
from reactions.postgres.limits import (
    FOR_CACHES,
    IN_SCHEMA,
    PRIMARY_ONLY,
    before_message,
    in_schema,
    limits_of,
    search_path,
)
from reactions.postgres.socket_watchdog import NoAnswer, guard

Answer = TypeVar("Answer")

QUICK_S = 1.0
"""A dead connection that fails within this time (s) is replaced; later, the error is raised."""


class RowsRefused(ReactionsError):
    """The database refuses the data of at least one row. The transaction changed nothing."""


class StandbyRefused(ReactionsUnavailable):
    """The server is a standby, which may be behind: it must not fill a cache. It serves reads."""


FROZEN = (
    "the server is frozen or overloaded, or the network between is cut: reactions doctor says"
    " whether it answers now"
)
"""What an operator does about a server that does not answer."""

KEPT = 5
"""Connections that stay open between calls. Further ones are closed after their use."""


class Database:
    """A pool of connections, which open when they are first needed.

    A process must not use one that it inherited through a fork.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "reactions",
        timeout_s: float | None = None,
        standby: bool = False,
    ) -> None:
        """Make the pool.

        Args:
            name: the name of the connections in ``pg_stat_activity``.
            timeout_s: seconds to wait for a connection, and for a statement; the default is
                database_timeout_s. An application_name or connect_timeout of database_url is kept.
            standby: database_url names a standby, so its connections stay although it is one.

        Raises:
            InvalidSettings: database_url has an option that cannot be used.
        """
        wait = timeout_s or settings.database_timeout_s
        # A live server ends the statement first, by its own timeout.
        self._deadline_s = 1.5 * wait
        parameters = parameters_of(settings.database_url.get_secret_value())
        given = options_of(parameters)
        self.limits: Mapping[str, str] = {
            name: value
            for name, value in limits_of(wait, self._deadline_s).items()
            if name not in given
        }
        """What PostgreSQL applies to each transaction, unless options of database_url says it."""
        enforced = {"search_path": search_path(settings.database_schema), **self.limits}
        self.engine: Engine = make_engine(
            parameters,
            name,
            wait,
            enforced,
            pool_timeout=wait,
            pool_size=min(KEPT, settings.database_connections),
            max_overflow=max(0, settings.database_connections - KEPT),
        )

        watch(self.engine, standby=standby)
        self._sending = threading.local()
        event.listen(self.engine, "checkout", self._check)
        self._enforced = enforced
        self._direct = DirectReads(self.engine, before_message(enforced), self._deadline_s)
        self._first = ""

    def _check(self, connection: Any, *_: object) -> None:  # noqa: ANN401 - psycopg2's
        """Ping a connection of the pool before its use."""
        if getattr(self._sending, "retries", False):  # read() replaces a dead connection
            return
        try:
            with guard(connection.fileno(), self._deadline_s):
                connection.autocommit = True  # avoids the round trips of BEGIN and ROLLBACK
                connection.cursor().execute("SELECT 1")
                connection.autocommit = False
        except (psycopg2.Error, NoAnswer) as error:
            raise DisconnectionError(
                str(error)
            ) from error  # the pool then tries another connection

    def for_caches(self) -> Self:
        """Return this database for reads of what a cache gets; they use the same connections.

        A standby refuses these reads with `StandbyRefused`. It takes no round trip: the message of
        each transaction's first statement says so.
        """
        made = copy(self)
        made.engine = self.engine.execution_options(**{FOR_CACHES: True})
        made._first = PRIMARY_ONLY
        return made

    def of_space(self, settings: Settings) -> Self:
        """Return this database with the tables of a space; it uses the same connections."""
        made, schema = copy(self), settings.database_schema
        made.engine = self.engine.execution_options(**{IN_SCHEMA: schema})
        before = before_message(in_schema(self._enforced, schema))
        made._direct = DirectReads(made.engine, before, self._deadline_s)
        return made

    def close(self) -> None:
        """Close the connections of the pool, which all spaces share."""
        self.engine.dispose()

    @contextmanager
    def transaction(self, isolation: IsolationLevel | None = None) -> Iterator[Connection]:
        """Run the block in one transaction, which commits at the end of the block.

        Raises:
            RowsRefused: the database refuses the data.
            ReactionsUnavailable: the database cannot be reached, or refuses the statement.
        """
        engine = self.engine.execution_options(isolation_level=isolation) if isolation else None
        with translated(), (engine or self.engine).connect() as connection:
            driver: Any = connection.connection.driver_connection
            with (
                guard(driver.fileno(), self._deadline_s),
                connection.begin(),
            ):
                yield connection

    def execute_at_once(
        self, statements: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Send the statements of one text in one message, and return the rows of the last one.

        The message is one transaction, and each statement sees what was committed before it began.
        If the connection turns out to be dead, a second one sends them again, so they must be safe
        to repeat.

        Raises:
            RowsRefused: the database refuses the data.
            ReactionsUnavailable: the database cannot be reached, or refuses the statement.
        """
        if isinstance(statements, TextClause):
            try:
                return self._directly(statements, parameters)
            except psycopg2.Error:
                pass  # SQLAlchemy repeats it, and tells what the error means for the pool
        return self.read(lambda connection: connection.execute(statements, parameters).all())

    def _directly(
        self, statement: TextClause, parameters: Mapping[str, Any] | None
    ) -> Sequence[Any]:
        began = time.monotonic()
        self._sending.retries = True
        try:
            with translated():
                return self._direct.rows(statement, parameters, first=self._first)
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            raise RowsRefused(_reason(error)) from error
        except psycopg2.Error as error:
            if time.monotonic() - began > QUICK_S:
                raise unavailable(error) from error
            raise
        finally:
            self._sending.retries = False

    def read(self, query: Callable[[Connection], Answer]) -> Answer:
        """Run a query outside a transaction: each of its statements is one.

        It saves the messages of a ping, BEGIN and COMMIT. If the connection turns out to be dead, a
        second one runs the query again, so it must be safe to repeat.

        Raises:
            RowsRefused: the database refuses the data.
            ReactionsUnavailable: the database cannot be reached, or refuses the statement.
        """
        began = time.monotonic()
        with translated():
            try:
                return self._run(query)
            except DBAPIError as error:
                if not error.connection_invalidated or time.monotonic() - began > QUICK_S:
                    raise
                return self._run(query)

    def _run(self, query: Callable[[Connection], Answer]) -> Answer:
        self._sending.retries = True
        try:
            with self.engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                with guard(driver.fileno(), self._deadline_s):
                    driver.autocommit = True  # SQLAlchemy's isolation level costs two more messages
                    try:
                        return query(connection)
                    finally:
                        connection.rollback()
                        if not driver.closed:
                            driver.autocommit = False
        finally:
            self._sending.retries = False


@contextmanager
def translated() -> Iterator[None]:
    """Run a block, and translate the errors of SQLAlchemy to those of this library."""
    try:
        yield
    except NoAnswer as error:
        raise ReactionsUnavailable("postgresql", f"PostgreSQL gave {error}", FROZEN) from error
    except (DataError, IntegrityError) as error:
        raise RowsRefused(_reason(error)) from error
    except SQLAlchemyError as error:
        raise unavailable(error) from error


def unavailable(error: SQLAlchemyError | psycopg2.Error) -> ReactionsUnavailable:
    """Return this library's error for one that says that the server cannot serve."""
    kind = StandbyRefused if refuses_caches(_cause(error)) else ReactionsUnavailable
    return kind("postgresql", f"PostgreSQL cannot serve: {_reason(error)}", _remedy(error))


def array(numbers: Iterable[int]) -> str:
    """Return a PostgreSQL array literal: the server parses one value, not one for each element."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _remedy(error: SQLAlchemyError | psycopg2.Error) -> str:
    """Return what to do about an error, "" when that is not known."""
    cause = _cause(error)
    if isinstance(cause, psycopg2.errors.InsufficientPrivilege):
        return "the role of database_url may not do this; deploy/roles.sql lists the roles"
    if refuses_writes(cause) or refuses_caches(cause):
        return STANDBY_ADVICE
    return advice(_reason(error))


def _cause(error: SQLAlchemyError | psycopg2.Error) -> BaseException | None:
    """Return the driver's error."""
    return error if isinstance(error, psycopg2.Error) else getattr(error, "orig", None)


def _reason(error: SQLAlchemyError | psycopg2.Error) -> str:
    """Return the first line of the driver's message, which has no statement and no parameters."""
    lines = str(_cause(error) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
