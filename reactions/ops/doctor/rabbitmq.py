"""RabbitMQ as the broker: its version, and the type of its queues."""

from __future__ import annotations

from typing import Any

from amqp import NotFound, PreconditionFailed
from celery import Celery

from reactions.ops.doctor.findings import Finding, Findings, State

OLDEST = (3, 10)
"""The first version that keeps a delayed message in a quorum queue without losing it."""


def check_rabbitmq(connection: Any, app: Celery) -> Findings:  # noqa: ANN401 - kombu's
    """Check the broker at the other end of an open connection; nothing, if it is no RabbitMQ.

    Raises:
        Exception: the connection failed.
    """
    if connection.transport.driver_type == "amqp":
        properties = connection.default_channel.connection.server_properties
        yield _version(str(properties.get("product")), str(properties.get("version")))
        yield _queues(connection, app)


def _version(product: str, version: str) -> Finding:
    found = f"{product} {version}"
    numbers = version.split(".")[:2]
    if product == "RabbitMQ" and all(map(str.isdecimal, numbers)):
        if tuple(map(int, numbers)) >= OLDEST:
            return Finding("broker version", State.OK, found)
        remedy = "use RabbitMQ 3.10 or newer: an older one may lose retries"
        return Finding("broker version", State.FAILURE, f"{found} is too old", remedy)
    return Finding("broker version", State.WARNING, f"{found} is not tested", "use RabbitMQ 3.10")


def _queues(connection: Any, app: Celery) -> Finding:  # noqa: ANN401 - kombu's
    """Check that the queues are quorum queues: RabbitMQ never changes the type of a queue."""
    missing, wrong = [], []
    for queue in app.conf.task_queues:
        with connection.channel() as channel:
            try:
                queue(channel).queue_declare(passive=True)  # makes no queue
                queue(channel).queue_declare()
            except NotFound:
                missing.append(queue.name)
            except PreconditionFailed:
                wrong.append(queue.name)
    if wrong:
        found = f"{', '.join(wrong)}: no quorum queue, so no worker starts"
        remedy = "stop the workers, then: " + "; ".join(
            f"rabbitmqctl delete_queue {name}" for name in wrong
        )
        lost = " (the messages in it are wake-ups; the sweep finds what they announced)"
        return Finding("broker queues", State.FAILURE, found, remedy + lost)
    if missing:
        found = f"{', '.join(missing)}: not there yet; the first worker makes them"
        return Finding("broker queues", State.WARNING, found, "start a worker")
    return Finding("broker queues", State.OK, "quorum queues")
