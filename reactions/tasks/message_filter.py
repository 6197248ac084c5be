"""What a worker takes from the broker: what is no message of ours is dropped, and ends no worker.

Celery and kombu take the form of a message for granted. One with, say, a list for the name of its
task ends the worker, is given back, and ends the next one. Whoever can write to the broker could so
keep all workers down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import Any

from celery.worker.consumer import Consumer as StockConsumer
from kombu.transport import redis, virtual

log = logging.getLogger(__name__)

LATEST = timedelta(minutes=15)
"""How far ahead the time of a message may be: retries wait for ten minutes at most, and the broker
delivers again after fifteen. Each one that waits takes a place from others."""

LONGEST_S = 3_600
"""Most that a message may say of how long its task may take."""

FOREIGN = ("group", "shadow", "stamps", "stamped_headers", "replaced_task_nesting")
"""Headers that are empty in every message of ours."""


class Message(virtual.Message):
    """Never unpacked: ours are not compressed, and a few kB may unfold to any size."""

    def __init__(self, payload: Any, channel: Any = None, **rest: Any) -> None:  # noqa: ANN401 - kombu's
        if payload["headers"].get("compression") is not None:
            raise ValueError("it is compressed")
        super().__init__(payload, channel=channel, **rest)  # type: ignore[no-untyped-call]


class Channel(redis.Channel):
    """Goes on after an entry of a queue that is no message at all; it has left the queue."""

    Message = Message

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, self.ResponseError):
            raise
        except Exception as error:
            if _is_of_connection(error, self.connection_errors):
                raise
            log.critical("an entry of a queue is no message, and is dropped: %.200r", error)
            raise Empty from error


class Transport(redis.Transport):
    """kombu's, with this channel."""

    Channel = Channel


class Consumer(StockConsumer):  # type: ignore[misc]
    """Celery's, but for messages that it cannot make a task of."""

    def create_task_handler(self, *args: Any, **rest: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - Celery's
        handle = super().create_task_handler(*args, **rest)

        def on_task_received(message: Any) -> Any:  # noqa: ANN401 - kombu's
            try:
                check(message.headers)
                return handle(message)
            except Exception as error:
                if _is_of_connection(error, self.connection_errors):
                    raise
                log.critical("a message cannot be read, and is dropped: %.200r", error)
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return on_task_received


def _is_of_connection(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """kombu counts a KeyError among them: here it is something that a message lacks."""
    return isinstance(error, kinds) and not isinstance(error, KeyError)


def check(headers: Mapping[str, Any]) -> None:
    """Refuse what would break Celery, or take a place in a worker for long, once it is let in.

    Raises:
        ValueError, TypeError: a header is none that Celery writes for a task of ours.
    """
    if not all(type(headers.get(name)) is str for name in ("id", "task")):
        raise TypeError("its id or task is no text")
    if type(headers.get("retries", 0)) is not int:
        raise TypeError("its number of retries is none")
    if any(headers.get(name) for name in FOREIGN):
        raise ValueError("it has headers that ours have not")
    hard, soft = headers.get("timelimit") or (None, None)
    if not all(limit is None or 0 < limit <= LONGEST_S for limit in (hard, soft)):
        raise ValueError("its time limits are none")
    _check_time(headers.get("eta"))


def _check_time(eta: object) -> None:
    if eta is None:
        return
    if type(eta) is not str:
        raise ValueError("its time is none")
    at = datetime.fromisoformat(eta)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC) + LATEST:
        raise ValueError("it is for a time too far ahead")
