"""PostgreSQL: the connections, and the one place where its errors become this library's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from reactions.errors import ReactionsError, ReactionsUnavailable
from reactions.settings import Settings


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
        options = {
            "statement_timeout": int(wait * 1000),
            "lock_timeout": int(wait * 1000),
            # Every statement here goes by a key and takes few rows, so the index is always right.
            "random_page_cost": 1.1,
            "max_parallel_workers_per_gather": 0,
            "jit": "off",
        }
        self.engine: Engine = create_engine(
            settings.database_url.get_secret_value(),
            pool_pre_ping=True,
            pool_timeout=wait,
            hide_parameters=True,
            connect_args={
                # libpq takes whole seconds.
                "connect_timeout": max(1, math.ceil(wait)),
                "application_name": name,
                "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            },
        )

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
        try:
            with (engine or self.engine).begin() as connection:
                yield connection
        except (DataError, IntegrityError) as error:
            raise RowsRefused(_reason(error)) from error
        except SQLAlchemyError as error:
            raise ReactionsUnavailable(
                "postgresql", f"PostgreSQL cannot serve: {_reason(error)}"
            ) from error


def array(numbers: Iterable[int]) -> str:
    """A PostgreSQL array literal: parsed once by the server, not one expression an element."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _reason(error: SQLAlchemyError) -> str:
    """The first line of the driver's own message: no statement, no parameters."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
