"""RabbitMQ as the broker: quorum queues, confirmed messages, and waits that end.

kombu waits without end wherever RabbitMQ does not answer: for a channel, for a queue, for the
confirmation of a message. Here each of these waits ends after ``answer_timeout`` seconds, an option
of ``broker_transport_options``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from amqp import NotFound
from celery import Celery
from celery.app import amqp
from kombu import connection as stock
from kombu import entity
from kombu.transport import pyamqp

SCHEMES = ("amqp://", "amqps://")

QUORUM = {"x-queue-type": "quorum"}
"""Arguments of a queue that RabbitMQ keeps on several nodes."""

# kombu has no annotations.
Exchange: Any = entity.Exchange
Queue: Any = entity.Queue
_StockConnection: Any = stock.Connection
_StockChannel: Any = pyamqp.Channel

# A topic exchange: RabbitMQ delivers a delayed message to no direct exchange.
_EXCHANGE = Exchange("reactions", type="topic")


def quorum_queues(queues: list[Any]) -> list[Any]:
    """Return quorum queues of the same names."""
    return [
        Queue(queue.name, _EXCHANGE, routing_key=queue.name, queue_arguments=QUORUM)
        for queue in queues
    ]


def possible_delay(app: Celery, seconds: float) -> float:
    """Return a delay that the broker can keep, at least ``seconds``. RabbitMQ has whole seconds."""
    on_rabbitmq = str(app.conf.broker_url).startswith(SCHEMES)
    return max(1, math.ceil(seconds)) if on_rabbitmq else seconds


def count_messages(connection: Any, queue: Any) -> int:  # noqa: ANN401 - kombu's
    """Return how many messages wait in a queue; a queue that does not exist has none.

    Args:
        connection: to any broker.

    Raises:
        Exception: each transport has errors of its own.
    """
    passive = connection.transport.driver_type == "amqp"  # whatever type the queue has
    with connection.channel() as channel:
        try:
            return int(queue(channel).queue_declare(passive=passive).message_count)
        except NotFound:
            return 0


class _Answering(pyamqp.Connection):
    """A connection whose waits end."""

    def __init__(self, *args: Any, answer_timeout: float | None = None, **rest: Any) -> None:  # noqa: ANN401 - amqp's
        super().__init__(*args, **rest)
        self._answer_s = answer_timeout

    def drain_events(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - amqp's
        """Wait for what RabbitMQ sends next.

        Raises:
            TimeoutError: nothing came in time.
        """
        return super().drain_events(self._answer_s if timeout is None else timeout)


class Channel(_StockChannel):  # type: ignore[misc]
    """Never decompresses a message: ours are not compressed, and a few kB may expand to any size.

    Such a message gets the header ``compressed``, and a worker drops it.
    """

    def message_to_python(self, raw_message: Any) -> Any:  # noqa: ANN401 - kombu's
        headers = raw_message.properties.get("application_headers") or {}
        if "compression" in headers:
            headers["compressed"] = headers.pop("compression") or True
        return super().message_to_python(raw_message)


_Answering.Channel = Channel


class _Verified:
    """A transport that compares the name of the server with its certificate; kombu does not."""

    client: Any

    def establish_connection(self) -> Any:  # noqa: ANN401 - kombu's
        if self.client.ssl:
            given = self.client.ssl if isinstance(self.client.ssl, dict) else {}
            self.client.ssl = {**given, "server_hostname": self.client.hostname}
        return super().establish_connection()  # type: ignore[misc]


@cache
def _answering(transport: Any) -> Any:  # noqa: ANN401 - a class of kombu's
    """Return a subclass of a transport whose connections end their waits."""
    bases = (_Verified, transport)
    return type(f"Answering{transport.__name__}", bases, {"Connection": _Answering})


class Connection(_StockConnection):  # type: ignore[misc]
    """kombu's connection, with these transports instead of its own. No other connection changes."""

    def get_transport_cls(self) -> Any:  # noqa: ANN401 - kombu's
        found = super().get_transport_cls()
        return _answering(found) if found.driver_type == "amqp" else found


class AMQP(amqp.AMQP):  # type: ignore[misc]
    """Gives an application these connections."""

    Connection = Connection
