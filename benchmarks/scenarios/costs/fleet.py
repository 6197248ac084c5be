"""The servers and the workers that one measurement of unit costs needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from redis import Redis

from benchmarks.support import cluster, servers
from benchmarks.support.processor import tree_s
from benchmarks.support.waiting import wait_until
from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import Process
from reactions.postgres.migrate import migrate
from reactions.redis.connection import Client, connect
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import BROKER_OPTIONS

PATIENCE_S = 300.0


@dataclass(slots=True)
class Servers:
    """The servers, and what they have used.

    Attributes:
        nodes: one Redis server, or the nodes of a cluster.
        workers: empty until they are started.
    """

    nodes: Sequence[Valkey]
    postgres: Postgres
    settings: Settings
    client: Client
    workers: list[Process]
    folder: Path

    def cpu(self) -> dict[str, float]:
        """Processor time of each part until now, in s."""
        return {
            "redis": sum(tree_s(node.pid) for node in self.nodes),
            "workers": sum(tree_s(process.pid) for process in self.workers),
            "postgres": tree_s(self.postgres.pid),
        }

    def network(self) -> int:
        """Bytes to and from Redis until now."""
        return sum(
            info["total_net_input_bytes"] + info["total_net_output_bytes"]
            for info in self._info("stats")
        )

    def memory(self) -> int:
        """Bytes that Redis uses for data."""
        return sum(info["used_memory_dataset"] for info in self._info("memory"))

    def _info(self, section: str) -> Iterator[Any]:
        for node in self.nodes:
            with Redis(port=node.port) as client:
                yield client.info(section)

    def ask(self, sql: str) -> Any:  # noqa: ANN401 - one value
        """The first value that a statement returns; it runs outside a transaction."""
        url = self.settings.database_url.get_secret_value().replace("+psycopg2", "", 1)
        connection = psycopg2.connect(url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                found = cursor.fetchone()
        finally:
            connection.close()
        return found[0] if found else None

    def settle(self) -> None:
        """Wait until every reaction is in PostgreSQL."""
        state = OutboxState(self.client, self.settings)
        wait_until(lambda: not state.dirty_posts(), PATIENCE_S, "everything is durable")

    def start_workers(self, concurrency: int) -> None:
        """Start a worker with so many processes, and beat."""
        environment = {**os.environ, **self.settings.environment()}
        celery = (sys.executable, "-m", "celery", "-A", "reactions.tasks")
        queues = "--queues=persistence,maintenance"
        commands = {
            "worker": (*celery, "worker", f"--concurrency={concurrency}", queues, "-l", "WARNING"),
            "beat": (*celery, "beat", "-l", "WARNING"),
        }
        for name, command in commands.items():
            process = Process(name, self.folder / f"{name}.log")
            process.launch(list(command), env=environment)
            self.workers.append(process)
        app = make_app(self.settings)
        wait_until(lambda: bool(app.control.ping(timeout=0.3)), PATIENCE_S, "the worker is ready")


@contextmanager
def running(nodes: int) -> Iterator[Servers]:
    """Run one Redis server or a cluster, a broker, and PostgreSQL; no worker yet."""
    with servers.temporary_folder("costs") as where, ExitStack() as stack:
        enter = stack.enter_context
        if nodes == 1:
            found = [enter(servers.running_redis(where, "valkey"))]
        else:
            found = enter(cluster.running_cluster(where, nodes))
        broker = enter(servers.running_redis(where, "broker", BROKER_OPTIONS))
        postgres = enter(servers.running_postgres(where))
        settings = servers.settings_with(
            redis_url=found[0].url,
            redis_cluster=nodes > 1,
            broker_url=broker.url,
            database_url=postgres.url,
        )
        migrate(settings)
        client = connect(settings)
        stack.callback(client.close)
        made = Servers(found, postgres, settings, client, [], where)
        try:
            yield made
        finally:
            for process in reversed(made.workers):
                process.stop(patience_s=40)
