"""Databases of the test server: one that tests share one after the other, and ones of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import create_engine, make_url, text

_numbers = itertools.count()

EMPTY = """
DO $$
DECLARE name regclass;
BEGIN
    FOR name IN SELECT oid FROM pg_class
        WHERE relnamespace = 'reactions'::regnamespace AND relkind = 'r'
        AND pg_relation_size(oid) > 0 AND relname NOT IN ('alembic_version', 'reaction_types')
    LOOP
        IF pg_relation_size(name) > 65536 THEN
            EXECUTE format('TRUNCATE %s CASCADE', name);
        ELSE
            EXECUTE format('DELETE FROM %s', name);
        END IF;
    END LOOP;
    FOR name IN SELECT oid FROM pg_class
        WHERE relnamespace = 'reactions'::regnamespace AND relkind = 'S'
    LOOP
        PERFORM setval(name, 1, false);
    END LOOP;
END $$
"""
"""Empties the tables that are not empty files, and restarts identities.

TRUNCATE makes new files for a table and its indexes, so for a few rows DELETE is 20 times faster.
"""

STATE = """
SELECT array_agg((oid, relname, relacl)::text ORDER BY oid) FROM pg_class
WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
UNION ALL
SELECT array_agg((attrelid, attname, atttypid, attnotnull)::text ORDER BY attrelid, attnum)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'reactions'::regnamespace
UNION ALL
SELECT array_agg((oid, convalidated)::text ORDER BY oid) FROM pg_constraint
UNION ALL
SELECT array_agg(oid::text ORDER BY oid) FROM pg_proc WHERE pronamespace = 'reactions'::regnamespace
UNION ALL
SELECT array_agg(oid::text ORDER BY oid) FROM pg_trigger
UNION ALL
SELECT array_agg(setconfig::text) FROM pg_db_role_setting
UNION ALL
SELECT array_agg(version_num::text) FROM reactions.alembic_version
UNION ALL
SELECT array_agg(t::text ORDER BY code) FROM reactions.reaction_types AS t
"""
"""The schema, and the rows that a migration leaves."""

OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


IN_TEMPLATE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'postgres'
"""


def execute_admin(server_url: str, statement: str) -> None:
    """Execute a statement outside a transaction, in the maintenance database template1."""
    url = make_url(server_url.replace("postgresql://", "postgresql+psycopg2://", 1))
    engine = create_engine(url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def create_database(server_url: str, name: str) -> str:
    """Copy the migrated database ``postgres``, and return the URL of the copy.

    PostgreSQL copies no database that somebody uses, and a test may have left connections to it.
    """
    execute_admin(server_url, IN_TEMPLATE)
    execute_admin(server_url, f"CREATE DATABASE {name} TEMPLATE postgres STRATEGY file_copy")
    return server_url.replace("/postgres?", f"/{name}?")


def drop_database(server_url: str, name: str) -> None:
    execute_admin(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def bare_database(server_url: str) -> Iterator[str]:
    """An empty database that is dropped at the end; gives its URL."""
    name = f"bare_{next(_numbers)}"
    execute_admin(server_url, f"CREATE DATABASE {name}")
    yield server_url.replace("/postgres?", f"/{name}?")
    drop_database(server_url, name)


@contextmanager
def own_database(server_url: str, name: str = "") -> Iterator[str]:
    """A migrated database that is dropped at the end; gives its URL."""
    name = name or f"own_{next(_numbers)}"
    yield create_database(server_url, name)
    drop_database(server_url, name)


class ReusedDatabase:
    """A migrated database that is emptied between tests, which is faster than to copy a new one.

    A test may change everything, the schema included. In that case, the next test gets a new copy.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._create()

    def clean(self) -> None:
        """Undo what a test did: end its connections, and empty its tables."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(OTHERS)
                cursor.execute(EMPTY)
            unchanged = self._state() == self._pristine
        except psycopg2.Error:  # such as a table that is gone, or this connection
            unchanged = False
        if not unchanged:
            self._connection.close()
            drop_database(self._server_url, self._name)
            self._create()

    def _create(self) -> None:
        self._name = f"test_{next(_numbers)}"
        self.url = create_database(self._server_url, self._name)
        self._connection: Any = psycopg2.connect(self.url, application_name="cleaner")
        self._connection.autocommit = True
        self._pristine = self._state()

    def _state(self) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(STATE)
            return list(cursor.fetchall())
