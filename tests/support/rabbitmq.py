"""Runs a RabbitMQ for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.support.rabbitmq import FOLDER, RabbitMq
from benchmarks.support.servers import temporary_folder
from tests.support.servers import missing

__all__ = ["RabbitMq", "running_rabbitmq"]


@contextmanager
def running_rabbitmq() -> Iterator[RabbitMq]:
    """Run a node; skip the test if RabbitMQ is missing (fail it in CI)."""
    if not (FOLDER / "rabbitmq-server").exists():
        missing("RabbitMQ is not installed: apt-get install rabbitmq-server")
    with temporary_folder("rabbit") as folder:
        server = RabbitMq(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()
