"""The servers, and the workers of one version at a time; or nobody's, for PostgreSQL alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
from redis import Redis

from benchmarks.compare.contenders import tables
from benchmarks.support import processor, servers
from benchmarks.support.checkout import HERE, Checkout, Child
from benchmarks.support.waiting import wait_until
from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import Process
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import BROKER_OPTIONS

PATIENCE_S = 300.0
WRITERS = 4

_databases = count()


@dataclass(slots=True)
class Used:
    """What was used until now, or between two moments.

    Attributes:
        workers, postgres: processor time in s; the workers' with beat's.
        messages: pushed to the broker, beat's included.
    """

    workers: float
    postgres: float
    messages: float

    def since(self, earlier: Used, idle: Used | None = None, times: float = 1.0) -> Used:
        """The difference, without ``times`` what was used in an idle time."""
        off = idle or Used(0.0, 0.0, 0.0)
        return Used(
            self.workers - earlier.workers - times * off.workers,
            self.postgres - earlier.postgres - times * off.postgres,
            self.messages - earlier.messages - times * off.messages,
        )


@dataclass(slots=True)
class System:
    """Running servers; ``settings`` name the database of the run under way."""

    redis_server: Valkey
    broker_server: Valkey
    postgres: Postgres
    folder: Path
    settings: Settings
    redis: Redis
    broker: Redis
    workers: list[Process] = field(default_factory=list)

    def used(self) -> Used:
        stats: Any = self.broker.info("commandstats")
        return Used(
            sum(processor.tree_s(process.pid) for process in self.workers),
            processor.tree_s(self.postgres.pid),
            float(stats.get("cmdstat_lpush", {}).get("calls", 0)),
        )

    def lags(self) -> dict[int, int]:
        """The histogram that drains keep: upper bound in µs -> reactions."""
        return OutboxState(self.redis, self.settings).lags()

    def settle(self) -> None:
        """Wait until every reaction is in PostgreSQL."""
        state = OutboxState(self.redis, self.settings)
        wait_until(lambda: not state.dirty_posts(), PATIENCE_S, "everything is durable")

    def admin(self, *statements: str) -> None:
        """Run statements outside a transaction, in the database ``postgres``."""
        with connected(self.postgres.url) as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A cursor in autocommit."""
    connection = psycopg2.connect(url.replace("+psycopg2", "", 1), application_name="rates")
    connection.autocommit = True
    try:
        yield connection.cursor()
    finally:
        connection.close()


@contextmanager
def system() -> Iterator[System]:
    """Start the servers."""
    with (
        servers.temporary_folder("rates") as where,
        servers.running_redis(where, "valkey") as redis,
        servers.running_redis(where, "broker", BROKER_OPTIONS) as broker,
        servers.running_postgres(where) as postgres,
        Redis(port=redis.port) as redis_client,
        Redis(port=broker.port) as broker_client,
    ):
        settings = servers.settings_with(redis_url=redis.url, broker_url=broker.url)
        yield System(redis, broker, postgres, where, settings, redis_client, broker_client)


@contextmanager
def running(system: System, version: Checkout | None, concurrency: int) -> Iterator[list[Child]]:
    """Empty stores with the workers and four writers of a version; None is PostgreSQL alone."""
    name = f"rates_{next(_databases)}"
    system.redis.flushall()
    system.broker.flushall()
    system.admin(f"CREATE DATABASE {name}")
    url = system.postgres.url.replace("/postgres?", f"/{name}?")
    system.settings = servers.settings_with(
        redis_url=system.redis_server.url, broker_url=system.broker_server.url, database_url=url
    )
    children: list[Child] = []
    try:
        if version is None:
            with connected(url) as cursor:
                cursor.execute(tables.SCHEMA)
        else:
            version.migrate(system.settings)
            _start(system, version, concurrency)
        for _ in range(WRITERS):
            contender = "reactions" if version else "postgres"
            children.append(Child(version or HERE, system.settings, contender))
        yield children
    finally:
        for child in children:
            child.close()
        for process in reversed(system.workers):
            process.stop(40)
        system.workers = []
        system.admin("CHECKPOINT", f"DROP DATABASE {name} WITH (FORCE)")


def _start(system: System, version: Checkout, concurrency: int) -> None:
    metrics = system.folder / f"metrics-{next(_databases)}"
    metrics.mkdir()
    environment = {
        **os.environ,
        **version.environment(system.settings),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    # -P and --workdir: else Celery imports the package of the current folder.
    celery = [version.python, "-P", "-m", "celery", f"--workdir={version.folder}"]
    celery += ["-A", "reactions.tasks"]
    for name, options in (
        ("worker", [f"--concurrency={concurrency}", "--queues=persistence,maintenance"]),
        ("beat", []),
    ):
        process = Process(name, system.folder / f"{name}.log")
        quiet = ["--without-gossip", "--without-mingle"] if name == "worker" else []
        process.launch([*celery, name, *options, *quiet, "--loglevel=WARNING"], environment)
        system.workers.append(process)
    control = make_app(system.settings).control

    def ready() -> bool:
        for process in system.workers:
            process.check()
        return bool(control.ping(timeout=0.5))

    wait_until(ready, PATIENCE_S, "the worker answers")
