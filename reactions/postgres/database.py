"""PostgreSQL: the connections, and the one place where its errors become this library's."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2.errors
from sqlalchemy import Connection, Engine, Executable, create_engine, event
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
from reactions.postgres.socket_watchdog import guard

QUICK_S = 1.0
"""A connection that turns out dead within this time is replaced; later, the time is used up."""


class RowsRefused(ReactionsError):
    """The database refuses the data of at least one row; the transaction left no trace."""


class Database:
    """One pool of connections, which it opens when first needed.

    Not for use across a fork: make one for each process.
    """

    def __init__(
        self, settings: Settings, *, name: str = "reactions", timeout_s: float | None = None
    ) -> None:
        """``timeout_s``: for a connection and for a statement; database_timeout_s if not given."""
        wait = timeout_s or settings.database_timeout_s
        # The server's own timeout comes first, where it is alive.
        self._patience_s = 1.5 * wait
        options = {
            "statement_timeout": int(wait * 1000),
            "lock_timeout": int(wait * 1000),
            # A process that fell off the network in a transaction would keep its locks for hours.
            "idle_in_transaction_session_timeout": int(self._patience_s * 1000),
            # Every statement here goes by a key and takes few rows, so the index is always right.
            "random_page_cost": 1.1,
            "max_parallel_workers_per_gather": 0,
            "jit": "off",
        }
        self.engine: Engine = create_engine(
            settings.database_url.get_secret_value(),
            pool_timeout=wait,
            hide_parameters=True,
            connect_args={
                # libpq takes whole seconds.
                "connect_timeout": max(1, math.ceil(wait)),
                "application_name": name,
                "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            },
        )

        self._sending = threading.local()
        event.listen(self.engine, "checkout", self._check)

    def _check(self, connection: Any, *_: object) -> None:  # noqa: ANN401 - psycopg2's
        """Ask a connection of the pool for a sign of life, before it is used."""
        if getattr(self._sending, "again", False):  # what is sent is sent again where it is dead
            return
        try:
            with guard(connection.fileno(), self._patience_s):
                connection.autocommit = True  # one round trip, not one more to begin and to end
                connection.cursor().execute("SELECT 1")
                connection.autocommit = False
        except psycopg2.Error as error:
            raise DisconnectionError(str(error)) from error  # the pool then tries another one

    def close(self) -> None:
        """Close the connections of the pool."""
        self.engine.dispose()

    @contextmanager
    def transaction(self, isolation: IsolationLevel | None = None) -> Iterator[Connection]:
        """One transaction, committed at the end of the block.

        Raises:
            RowsRefused: the data is refused.
            ReactionsUnavailable: the database cannot now.
        """
        engine = self.engine.execution_options(isolation_level=isolation) if isolation else None
        with translated(), (engine or self.engine).connect() as connection:
            driver: Any = connection.connection.driver_connection
            with (
                guard(driver.fileno(), self._patience_s),
                connection.begin(),
            ):
                yield connection

    def execute_at_once(
        self, statements: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Statements of one text in one message, which is one transaction; rows of the last one.

        Each sees what was committed before it began. Where the connection turns out to be dead they
        are sent once more, on another one, so they must be safe to repeat.

        Raises:
            RowsRefused: the data is refused.
            ReactionsUnavailable: the database cannot now.
        """
        began = time.monotonic()
        with translated():
            try:
                return self._send(statements, parameters)
            except DBAPIError as error:
                if not error.connection_invalidated or time.monotonic() - began > QUICK_S:
                    raise
                return self._send(statements, parameters)

    def _send(self, statements: Executable, parameters: Mapping[str, Any] | None) -> Sequence[Any]:
        self._sending.again = True
        try:
            with self.engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                with guard(driver.fileno(), self._patience_s):
                    driver.autocommit = True  # SQLAlchemy's way to it takes two messages more
                    try:
                        return connection.execute(statements, parameters).all()
                    finally:
                        connection.rollback()
                        if not driver.closed:
                            driver.autocommit = False
        finally:
            self._sending.again = False


@contextmanager
def translated() -> Iterator[None]:
    """Run a block with SQLAlchemy's errors turned into this library's."""
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise RowsRefused(_reason(error)) from error
    except SQLAlchemyError as error:
        raise ReactionsUnavailable(
            "postgresql", f"PostgreSQL cannot serve: {_reason(error)}{_advice(error)}"
        ) from error


def array(numbers: Iterable[int]) -> str:
    """A PostgreSQL array literal: parsed once by the server, not one expression an element."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _advice(error: SQLAlchemyError) -> str:
    """What to do, where the driver's message does not say it."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, psycopg2.errors.InsufficientPrivilege):
        return "; the role of database_url is not to do this, deploy/roles.sql says which one is"
    if "certificate" in str(cause):
        return "; sslrootcert of database_url names the CA, its host is that of the certificate"
    if "no encryption" in str(cause):
        return "; database_url needs sslmode=verify-full and sslrootcert"
    return ""


def _reason(error: SQLAlchemyError) -> str:
    """The first line of the driver's own message: no statement, no parameters."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
