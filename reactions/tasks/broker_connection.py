"""Ends a connection to a broker that is not the primary any more, or that lost an acknowledgement.

Celery connects anew when a connection is lost, but two things it does not see as a loss. A replica
refuses to serve, which ends a worker. And where an acknowledgement fails, the worker logs it and
goes on: the message stays among those that it has, so a worker with one place waits for ever. A
worker also waited for ever for a message of a remote control whose connection is gone.
"""

from __future__ import annotations

from logging import Logger
from typing import Any, TypeAlias

from kombu.transport import redis, virtual

from reactions.redis.connection_pool import careful, lost_when_demoted

Errors: TypeAlias = "tuple[type[Exception], ...]"
"""What counts as a lost connection."""


class Message(virtual.Message):
    """Reconnects when its acknowledgement fails; the broker then delivers the message again."""

    def ack_log_error(self, logger: Logger, errors: Errors, multiple: bool = False) -> None:
        """Acknowledge the message; if the connection is lost, have the worker reconnect."""
        try:
            self.ack(multiple=multiple)  # type: ignore[no-untyped-call]
        except errors as error:
            self._reconnect(logger, error)

    def reject_log_error(self, logger: Logger, errors: Errors, requeue: bool = False) -> None:
        """Reject the message; if the connection is lost, have the worker reconnect."""
        try:
            self.reject(requeue=requeue)  # type: ignore[no-untyped-call]
        except errors as error:
            self._reconnect(logger, error)

    def _reconnect(self, logger: Logger, error: Exception) -> None:
        logger.critical("cannot acknowledge %s, so connect again: %r", self.delivery_tag, error)
        loop = self.channel.connection.loop
        if loop is not None:
            loop.call_soon(_lose, error)


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

    def _receive(self) -> bool:
        """Read the messages of remote control that have arrived.

        kombu closes that connection when it went silent. The event loop may still have an event of
        its file descriptor, which a new connection has by then. kombu would wait for a message
        without a limit, and the worker would do nothing else.
        """
        connection: Any = self._in_listen  # None while there is none
        if not connection or not connection.can_read(timeout=0):
            return False
        return bool(super()._receive())  # type: ignore[no-untyped-call]


class Transport(redis.Transport):
    """kombu's transport, with this channel.

    Attributes:
        loop: the event loop that consumes; None if there is none, or after the connection was
            closed. kombu's own record of the loop is gone after the first loss of a connection.
    """

    Channel = Channel
    loop: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # noqa: ANN401 - kombu's
        self.loop = loop
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]

    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - kombu's
        self.loop = None
        super().close_connection(connection)  # type: ignore[no-untyped-call]
