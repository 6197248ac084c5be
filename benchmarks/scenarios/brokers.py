"""``python -m benchmarks brokers``: what a message costs with Redis and with RabbitMQ as broker.

One process publishes wake-ups as a web process does, and then takes and acknowledges them with
kombu. A wake-up stands for many reactions: one goes out for each window of the relay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.support import machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.processor import tree_s
from benchmarks.support.rabbitmq import RabbitMq, RabbitMqCluster
from reactions.api.publisher import Publisher
from reactions.cli.console import bars
from reactions.core.celery_app import DRAIN, make_app
from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.redis.server_options import BROKER_OPTIONS

PATIENCE_S = 30.0


@contextmanager
def _redis(where: Path) -> Iterator[tuple[str, list[int]]]:
    with servers.running_redis(where, "valkey", BROKER_OPTIONS) as server:
        yield server.url, [server.pid]


@contextmanager
def _rabbitmq(where: Path) -> Iterator[tuple[str, list[int]]]:
    server = RabbitMq(where / "one")
    try:
        server.start()
        yield server.url, [server.pid]
    finally:
        server.kill()


@contextmanager
def _rabbitmq_cluster(where: Path) -> Iterator[tuple[str, list[int]]]:
    cluster = RabbitMqCluster(where / "three")
    try:
        cluster.start()
        yield cluster.url, [node.pid for node in cluster.nodes]
    finally:
        cluster.kill()


BROKERS = {"Redis": _redis, "RabbitMQ": _rabbitmq, "RabbitMQ, three nodes": _rabbitmq_cluster}


def run(messages: int, show: Show) -> dict[str, dict[str, float]]:
    """Every broker, one after the other."""
    found = {}
    for number, (name, running) in enumerate(BROKERS.items()):
        with servers.temporary_folder("brokers") as where, running(where) as (url, pids):
            found[name] = measure(Settings(broker_url=url), pids, messages)
        show("brokers", number + 1, len(BROKERS))
    return found


def measure(settings: Settings, pids: list[int], messages: int) -> dict[str, float]:
    """Figures of one broker: times and processor µs of a message."""

    def broker_s() -> float:
        return sum(map(tree_s, pids))

    app = make_app(settings)
    publisher = Publisher(settings)
    with app.connection_for_read() as connection, connection.channel() as channel:
        queues = [queue(channel) for queue in app.conf.task_queues]
        for queue in queues:
            queue.declare()
        (queue,) = [queue for queue in queues if queue.name == "persistence"]
        publisher.send(DRAIN, kwargs={"shards": [1]})
        _take(queue)
        before = broker_s()
        sent = _timed(lambda: publisher.send(DRAIN, kwargs={"shards": [42]}), messages)
        taken = _timed(lambda: _take(queue), messages)
        used = broker_s() - before
    return {
        "publish_p50_us": sent["p50_us"],
        "publish_client_us": sent["client_us"],
        "take_p50_us": taken["p50_us"],
        "take_client_us": taken["client_us"],
        "broker_us": round(used * 1e6 / messages, 1),
    }


def _take(queue: Any) -> None:  # noqa: ANN401 - kombu's
    """Take one message, and acknowledge it.

    Raises:
        StackError: none came.
    """
    deadline = time.monotonic() + PATIENCE_S
    while (message := queue.get()) is None:
        if time.monotonic() > deadline:
            raise StackError("a message that was published did not come")
    message.ack()


def _timed(call: Callable[[], object], times: int) -> dict[str, float]:
    took = []
    began = time.thread_time()
    for _ in range(times):
        at = time.perf_counter()
        call()
        took.append(time.perf_counter() - at)
    client = time.thread_time() - began
    return {
        "p50_us": round(median(took) * 1e6, 1),
        "client_us": round(client * 1e6 / times, 1),
    }


@click.command(context_settings=output.HELP)
@click.option("--messages", type=click.IntRange(1, 1_000_000), default=500, show_default=True)
@output.as_markdown
@output.as_json
def main(messages: int, as_markdown: bool, as_json: bool) -> None:
    """Measure what a message costs with Redis and with RabbitMQ as broker."""
    output.quiet_logs()
    with bars(36) as show:
        found = run(messages, show)
    output.print_table(
        "One message, in µs: to publish, to take and acknowledge; processor of client and broker",
        ["broker", "publish p50", "client", "take p50", "client", "broker, both"],
        [[name, *figures.values()] for name, figures in found.items()],
        as_markdown,
    )
    output.finish({"machine": machine.summary(), "brokers": found}, as_json)
