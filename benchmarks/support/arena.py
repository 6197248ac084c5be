"""The servers that all contenders share: emptied before each run, with its workers alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from redis import Redis
from sqlalchemy import text

from benchmarks.support import output, servers
from benchmarks.support.processor import tree_s
from benchmarks.support.waiting import wait_until
from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.demo.process import Process
from reactions.demo.stack import Stack
from reactions.postgres.database import Database

PATIENCE_S = 600.0
"""The longest wait for workers, or until everything is durable."""

_EMPTY = text("""
DO $$ DECLARE tables text; BEGIN
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') INTO tables FROM pg_tables
    WHERE schemaname IN ('reactions', 'contender')
      AND tablename NOT IN ('alembic_version', 'reaction_types') AND tablename !~ '_p?[0-9]+$';
    EXECUTE 'TRUNCATE ' || tables;
END $$
""")


class Arena:
    """The stack, and the workers of one contender at a time."""

    def __init__(self, stack: Stack, workers: int) -> None:
        self.stack = stack
        self.settings: Settings = stack.settings
        self.workers = workers
        self.redis = Redis.from_url(self.settings.redis_url.get_secret_value())
        self.broker = Redis.from_url(self.settings.broker_url.get_secret_value())
        self.database = Database(self.settings, name="reactions-bench", timeout_s=1_200)
        self._plain = self.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._at_work: list[Process] = []
        self.filled = 0  # rows that a mix has put into the tables

    def execute(self, sql: str) -> Any:  # noqa: ANN401 - what the statement returns
        """Run one statement outside a transaction; returns its rows, if it has any."""
        with self._plain.connect() as connection:
            found = connection.execute(text(sql))
            return found.all() if found.returns_rows else []

    def empty(self) -> None:
        """Empty all three stores, and wait until no write of an earlier contender is left."""
        self.flush()
        self.filled = 0
        with self._plain.connect() as connection:
            connection.execute(_EMPTY)
            connection.execute(text("CHECKPOINT"))
        wait(lambda: not self.rewriting())

    def flush(self) -> None:
        """Empty the two Redis."""
        for client in (self.redis, self.broker):
            client.flushall()
            client.config_resetstat()

    def rewriting(self) -> bool:
        """Whether a Redis still rewrites its append-only file."""
        return any(map(_rewriting, (self.redis, self.broker)))

    def start_ours(self) -> None:
        """Start the worker and the beat of the stack."""
        self.stack.supervise()
        self._at_work = [self.stack.worker, self.stack.beat]
        self._ready(make_app(self.settings))

    def start_worker(self, module: str, app: Celery, *options: str) -> None:
        """Start a contender's Celery worker; its environment names the stores."""
        worker = Process("contender", self.stack.folder / "contender.log")
        worker.launch(
            [
                *(sys.executable, "-m", "celery", "-A", module, "worker"),
                f"--concurrency={self.workers}",
                *("--without-gossip", "--without-mingle", "--loglevel=WARNING", *options),
            ],
            env={**os.environ, **self.settings.environment()},
        )
        self._at_work = [worker]
        self._ready(app)

    def _ready(self, app: Celery) -> None:
        def ready() -> bool:
            self._at_work[0].check()
            return bool(app.control.ping(timeout=0.3))

        wait(ready)

    def stop_workers(self) -> None:
        """Stop all workers that this arena started."""
        for process in reversed(self._at_work):
            process.stop(patience_s=40)
        self._at_work = []

    def log_statements(self, wanted: bool) -> None:
        """Let the server log every statement with the name of its application, or stop that."""
        for name, value in (("log_statement", "all"), ("log_line_prefix", "%a|")):
            self.execute(
                f"ALTER SYSTEM SET {name} = '{value}'" if wanted else f"ALTER SYSTEM RESET {name}"
            )
        self.execute("SELECT pg_reload_conf()")
        shown = "all" if wanted else "none"
        wait(lambda: self._shows(shown))

    def _shows(self, statements: str) -> bool:
        return bool(self.execute("SHOW log_statement")[0][0] == statements)

    def cpu(self) -> dict[str, float]:
        """Processor time of each part until now in s, without the web processes."""
        return {
            "redis": tree_s(self.stack.valkey.pid),
            "broker": tree_s(self.stack.broker.pid),
            "workers": sum(tree_s(process.pid) for process in self._at_work),
            "postgresql": tree_s(self.stack.postgres.pid),
        }


@contextmanager
def arena(workers: int) -> Iterator[Arena]:
    """Start the stack; no worker runs at first."""
    with (
        servers.temporary_folder("suite") as where,
        Stack(
            where,
            servers.settings_with(),
            concurrency=workers,
            flower=False,
            say=output.err.print,
        ) as stack,
    ):
        stack.beat.stop()
        stack.worker.stop()
        made = Arena(stack, workers)
        try:
            yield made
        finally:
            made.stop_workers()
            made.database.close()


def wait(met: Callable[[], bool]) -> None:
    """Poll until a condition is met.

    Raises:
        TimeoutError: it was not met within PATIENCE_S.
    """
    wait_until(met, PATIENCE_S, "the contender is ready, or everything is durable")


def _rewriting(client: Redis) -> bool:
    found: Any = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"])
