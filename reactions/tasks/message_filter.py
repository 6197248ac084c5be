"""Drops messages that would end a worker.

Celery and kombu trust the form of a message. A message whose task name is a list, for example, ends
the worker, returns to the queue, and ends the next worker. So anybody who can write to the broker
could stop all workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import Any

from celery.worker.consumer import Consumer as StockConsumer
from kombu.transport import redis

from reactions.tasks import broker_connection

log = logging.getLogger(__name__)

MAX_DELAY = timedelta(minutes=15)
"""How far in the future the time of a message may be. Retries wait at most ten minutes, and the
broker delivers a message again after fifteen. Every waiting message takes a place in the worker."""

MAX_TIME_LIMIT_S = 3_600
"""The highest time limit that a message may ask for."""

FOREIGN = (
    "compressed",  # reactions.core.rabbitmq
    "group",
    "replaced_task_nesting",
    "shadow",
    "stamped_headers",
    "stamps",
)
"""Headers that are empty in every message of this library."""


class Message(broker_connection.Message):
    """Never decompressed: this library does not compress, and a few kB may expand to any size."""

    def __init__(self, payload: Any, channel: Any = None, **rest: Any) -> None:  # noqa: ANN401 - kombu's
        if payload["headers"].get("compression") is not None:
            raise ValueError("it is compressed")
        super().__init__(payload, channel=channel, **rest)  # type: ignore[no-untyped-call]


class Channel(broker_connection.Channel):
    """Skips a queue entry that is not a message. The entry has already left the queue."""

    Message = Message

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, self.ResponseError):
            raise
        except Exception as error:
            if _is_of_connection(error, self.connection_errors):
                raise
            log.critical("dropped a queue entry that is not a message: %.200r", error)
            raise Empty from error


class Transport(broker_connection.Transport):
    """kombu's transport, with this channel."""

    Channel = Channel


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same, where Sentinels know the address of the broker."""


class SentinelTransport(Transport, redis.SentinelTransport):
    """kombu's transport for Sentinels, with this channel."""

    Channel = SentinelChannel


class Consumer(StockConsumer):  # type: ignore[misc]
    """Celery's consumer, except that it drops messages that are not tasks of this library."""

    def create_task_handler(self, *args: Any, **rest: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - Celery's
        handle = super().create_task_handler(*args, **rest)

        def on_task_received(message: Any) -> Any:  # noqa: ANN401 - kombu's
            try:
                check(message.headers)
                return handle(message)
            except Exception as error:
                if _is_of_connection(error, self.connection_errors):
                    raise
                log.critical("dropped a message that cannot be read: %.200r", error)
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return on_task_received


def _is_of_connection(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """kombu counts KeyError as a connection error; here it means that a message lacks a field."""
    return isinstance(error, kinds) and not isinstance(error, KeyError)


def check(headers: Mapping[str, Any]) -> None:
    """Refuse what would break Celery, or take a place in a worker for long, once it is let in.

    Raises:
        ValueError, TypeError: a header is none that Celery writes for a task of ours.
    """
    if not all(type(headers.get(name)) is str for name in ("id", "task")):
        raise TypeError("its id or task is not a string")
    if type(headers.get("retries", 0)) is not int:
        raise TypeError("its number of retries is not an integer")
    if any(headers.get(name) for name in FOREIGN):
        raise ValueError("it has headers that this library does not send")
    hard, soft = headers.get("timelimit") or (None, None)
    if not all(limit is None or 0 < limit <= MAX_TIME_LIMIT_S for limit in (hard, soft)):
        raise ValueError("its time limits are not numbers in the allowed range")
    _check_time(headers.get("eta"))


def _check_time(eta: object) -> None:
    if eta is None:
        return
    if type(eta) is not str:
        raise ValueError("its time is not a string")
    at = datetime.fromisoformat(eta)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC) + MAX_DELAY:
        raise ValueError("its time is too far in the future")
