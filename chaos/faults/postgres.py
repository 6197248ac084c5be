"""Faults of PostgreSQL."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from chaos.nemesis import SPRING_S, Missed, Nemesis

_OTHERS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"


@contextmanager
def backends_terminated(nemesis: Nemesis) -> Iterator[None]:
    """Terminate all connections."""
    with contextlib.closing(nemesis.admin()) as connection:
        connection.cursor().execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
    yield


@contextmanager
def postgres_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill all processes of PostgreSQL with SIGKILL."""
    nemesis.system.postgres.kill()
    nemesis.hold(0, 2)
    yield
    nemesis.system.postgres.start()


@contextmanager
def connections_refused(nemesis: Nemesis) -> Iterator[None]:
    """Terminate all connections, and allow no new ones."""
    with contextlib.closing(nemesis.admin("template1")) as connection:
        cursor = connection.cursor()
        cursor.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS false")
        try:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
            seconds = nemesis.refusal_s()
            nemesis.hold(seconds, seconds)
            yield
        finally:
            cursor.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS true")


_RELOAD = "SELECT pg_reload_conf()"


@contextmanager
def postgres_demoted(nemesis: Nemesis) -> Iterator[None]:
    """Make the server read-only, as a standby is, and then writable again; mostly, cut nobody."""
    with contextlib.closing(nemesis.admin()) as connection:
        cursor = connection.cursor()
        cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        cursor.execute(_RELOAD)
        try:
            if nemesis.chance.random() < 0.3:
                cursor.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
            nemesis.hold(0.5, 4)
            yield
        finally:
            cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cursor.execute(_RELOAD)


@contextmanager
def table_locked(nemesis: Nemesis) -> Iterator[None]:
    """Lock the rows' table for longer than the time-out of a statement."""
    with contextlib.closing(nemesis.admin()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute("LOCK TABLE reactions.reactions IN ACCESS EXCLUSIVE MODE")
        timeout = nemesis.system.settings.database_timeout_s
        nemesis.hold(timeout + 0.5, timeout + 2)
        yield


_WAITING = "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"


@contextmanager
def deadlocked(nemesis: Nemesis) -> Iterator[None]:
    """Hold a row that a drain waits for, and then wait for a lock that this drain holds.

    A session looks for deadlocks after ``deadlock_timeout``: the drain after one second, the
    nemesis after 30. So PostgreSQL cancels the drain.
    """
    with contextlib.closing(nemesis.admin()) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SET LOCAL deadlock_timeout = '30s'")
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("SELECT count FROM reactions.reaction_counts WHERE post_id <= 20 FOR UPDATE")
        deadline = time.monotonic() + SPRING_S
        while cursor.execute(_WAITING) or not cursor.fetchone():
            if time.monotonic() > deadline:
                raise Missed
            time.sleep(0.01)
        with contextlib.suppress(psycopg2.Error):  # or PostgreSQL cancels this session
            cursor.execute("LOCK TABLE reactions.reactions IN SHARE MODE")
        yield
