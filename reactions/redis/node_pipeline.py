"""What one call sends to one node of a cluster, and what the node answers.

A node that is silent on a new connection, too, is not asked again for redis_timeout_s: calls that
need it fail at once, and calls that need other nodes as well do not wait for it each time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    MaxConnectionsError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.redis.kept_connections import Held, held
from reactions.redis.wire import pack, read_replies, send

_ASKING = pack(("ASKING",))


class NodePipeline:
    """What one call sends to one node.

    Attributes:
        node: the client of the node.
        places: of its commands among those of the call.
        failure: why the node gave no answer; None while that is not the case.
        may_retry: whether the same commands may succeed over a new connection.
    """

    __slots__ = (
        *("_asking", "_connection", "_kept", "_owes"),
        *("failure", "may_retry", "node", "places"),
    )

    def __init__(self, node: Redis, *, asking: bool = False) -> None:
        """
        Args:
            asking: the node only imports the slot of these commands.
        """
        self.node = node
        self.places: list[int] = []
        self.failure: RedisError | None = None
        self.may_retry = False
        self._asking = asking
        self._kept: Held | None = None
        self._connection: Any = None  # redis-py's
        self._owes = False
        """The connection owes replies, so nobody else may use it."""

    def send(self, commands: Sequence[bytes]) -> None:
        """Send the packed commands that ``places`` names. A failure is noted, not raised."""
        packed = [commands[place] for place in self.places]
        if self._asking:  # it holds for one command
            packed = [_ASKING + each for each in packed]
        pool: Any = self.node.connection_pool
        if time.monotonic() < pool.silent_until:
            self.failure = RedisTimeoutError(f"{_name(pool)} did not answer a moment ago")
            return
        try:
            self._kept = held(self.node)
            if self._kept is None:
                self._connection = pool.get_connection()
            else:
                self._kept.busy = True
                self._connection = self._kept.connection
            self._owes = True
            send(self._connection, b"".join(packed))
        except RedisError as error:
            self._fail(error)

    def read(self, late: bool) -> list[Any] | None:
        """Return the replies; None if the node gave no answer.

        Args:
            late: another node did not answer in time, so what is not here by now is too late.
        """
        if self.failure is not None:
            return None
        try:
            if late and not self._connection.can_read(0):
                self.give_up()
                return None
            number = len(self.places)
            found = read_replies(self._connection, 2 * number if self._asking else number)
        except RedisError as error:
            self._fail(error)
            return None
        self._owes = False
        return found[1::2] if self._asking else found

    def give_up(self) -> None:
        """Note that there is no time left for an answer."""
        named = _name(self.node.connection_pool)
        self.failure = RedisTimeoutError(f"{named} did not answer in the time of the call")
        self.close()

    def _fail(self, error: RedisError) -> None:
        pool: Any = self.node.connection_pool
        open_before = self._connection is not None and self._connection.was_open
        if isinstance(error, RedisTimeoutError):
            self.may_retry = open_before
            if not open_before:
                pool.silent_until = time.monotonic() + pool.patience_s
        elif not isinstance(error, AuthenticationError | MaxConnectionsError):
            self.may_retry = isinstance(error, RedisConnectionError)
        self.failure = error
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._owes:
            connection.disconnect()  # the next user must not read leftover replies
        if self._kept is not None:
            self._kept.busy = False
        else:
            self.node.connection_pool.release(connection)


def _name(pool: Any) -> str:  # noqa: ANN401 - a pool of redis-py
    return f"{pool.connection_kwargs.get('host')}:{pool.connection_kwargs.get('port')}"
