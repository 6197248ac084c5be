"""Publishes messages to the broker, and says when a connection must not be used again.

After a switch-over, the broker's address leads to another server, but an open connection still
leads to the old one, which refuses messages. So whatever goes wrong ends the connection, and the
next message goes to the server that the address leads to by then.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactions.core.errors import chain
from reactions.core.instruments import CONDEMNED
from reactions.core.settings import Settings
from reactions.redis.connection_pool import MAX_IDLE_S, tells_of_role

if TYPE_CHECKING:
    from celery import Celery


class Publisher:
    """Sends tasks, one at a time; it connects at the first one. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        # Imported here: a process that publishes nothing never loads Celery.
        from reactions.core.celery_app import make_publisher

        self._app: Celery = make_publisher(settings)
        self._connection: Any = None  # kombu's
        self._used_at = time.monotonic()

    def send(self, task: str, **options: Any) -> Any:  # noqa: ANN401 - Celery's
        """Send a task and return its result object; the options are those of ``send_task``.

        Raises:
            Exception: the transport may raise anything. The connection is closed then.
        """
        now = time.monotonic()
        if now - self._used_at > MAX_IDLE_S:  # a firewall may have dropped it
            self._disconnect()
        self._used_at = now
        try:
            if self._connection is None:
                self._connection = self._app.connection_for_write()
            return self._app.send_task(task, connection=self._connection, **options)
        except Exception as error:
            if any(map(tells_of_role, chain(error))):
                CONDEMNED.labels("broker").inc()
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # a broken connection may refuse to be closed
                connection.release()
