"""Ends a connection to a broker that is not the primary any more, or that lost an acknowledgement.

Celery connects anew when a connection is lost, but two things it does not see as a loss. A replica
refuses to serve, which ends a worker. And where an acknowledgement fails, the worker logs it and
goes on: the message stays among those that it has, so a worker with one place waits for ever.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.asynchronous import get_event_loop
from kombu.transport import redis, virtual

from reactions.redis.connection_pool import careful, lost_when_demoted


class Message(virtual.Message):
    """Reconnects when an acknowledgement fails; the broker then delivers the message again."""

    def ack_log_error(
        self, logger: logging.Logger, errors: tuple[type[Exception], ...], multiple: bool = False
    ) -> None:
        """Acknowledge the message; if the connection is lost, log it and have the worker reconnect.

        Args:
            errors: what counts as a lost connection.
        """
        try:
            self.ack(multiple=multiple)  # type: ignore[no-untyped-call]
        except errors as error:
            logger.critical("cannot acknowledge %s, so connect again: %r", self.delivery_tag, error)
            loop = get_event_loop()
            if loop is not None:
                loop.call_soon(_lose, error)  # type: ignore[no-untyped-call]


def _lose(error: Exception) -> None:
    """Raise in the event loop what Celery takes for a lost connection."""
    raise error


class Channel(redis.Channel):
    """A channel whose connections end as this module says."""

    Message = Message

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Return the arguments of a connection, which is lost when its server is a replica.

        The connection of the event loop must not connect again by itself: the loop would wait at
        the old socket.
        """
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        base = found["connection_class"]
        found["connection_class"] = lost_when_demoted(base if asynchronous else careful(base))
        return found
