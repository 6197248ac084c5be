"""Servers that refuse writes: a standby, and one that an operator made read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from benchmarks.support.standbys import running_standby
from reactions.demo.embedded import Postgres
from tests.support.databases import execute_admin
from tests.support.waiting import wait_until

__all__ = ["running_standby"]


def same_database(standby: Postgres, database_url: str) -> str:
    """Return the URL of a database of the primary on its standby, once the standby has it."""
    name = make_url(database_url).database
    url = standby.url.replace("/postgres?", f"/{name}?")
    with asked(database_url) as primary:
        written = primary("SELECT pg_current_wal_insert_lsn()")
    wait_for_replay(standby.url, written)
    return url


@contextmanager
def paused_replay(standby_url: str, database_url: str) -> Iterator[None]:
    """Let the standby stay as it is now, with everything that the primary has written so far."""
    with asked(database_url) as primary:
        written = primary("SELECT pg_current_wal_insert_lsn()")
    wait_for_replay(standby_url, written)
    with asked(standby_url) as ask:
        ask("SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        wait_until(lambda: ask(state) == "paused", what="the standby replays nothing")
    try:
        yield
    finally:
        with asked(standby_url) as ask:
            ask("SELECT pg_wal_replay_resume()")


def wait_for_replay(standby_url: str, position: object) -> None:
    """Wait until a standby has replayed the log of its primary up to a position."""
    with asked(standby_url) as ask:
        reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: ask(reached), what="the standby replays what was written")


@contextmanager
def asked(url: str) -> Iterator[Callable[[str], Any]]:
    """Give a function that executes a statement and returns its only value."""
    plain = url.replace("+psycopg2", "")
    connection: Any = psycopg2.connect(plain, application_name="tests")
    connection.autocommit = True

    def ask(statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            (value,) = cursor.fetchone()
        return value

    try:
        yield ask
    finally:
        connection.close()


@contextmanager
def read_only(postgres: Postgres) -> Iterator[None]:
    """Make every session of the server read-only, as a standby is."""
    for statement in ("ALTER SYSTEM SET default_transaction_read_only = on", RELOAD):
        execute_admin(postgres.url, statement)
    try:
        wait_until(lambda: role_in_template(postgres) == "on", what="the server is read-only")
        yield
    finally:
        for statement in ("ALTER SYSTEM RESET default_transaction_read_only", RELOAD):
            execute_admin(postgres.url, statement)
        wait_until(lambda: role_in_template(postgres) == "off", what="the server takes writes")


RELOAD = "SELECT pg_reload_conf()"


def role_in_template(postgres: Postgres) -> str:
    url = make_url(postgres.url.replace("postgresql://", "postgresql+psycopg2://", 1))
    engine = create_engine(url)
    with engine.connect() as connection:
        found = str(connection.scalar(text("SHOW transaction_read_only")))
    engine.dispose()
    return found
