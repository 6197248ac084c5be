"""The pool of connections to Redis. It says which connections must not be used again.

After a switch-over, an address leads to another server, but open connections still lead to the old
one, which refuses writes. So whatever a reply says about the role of its server ends the connection
and its idle siblings: every open connection of this process to the same address. The next call
resolves the address anew. A connection that was idle for long is replaced, too.
"""

from __future__ import annotations

import functools
import socket
import struct
import time
from typing import Any

from redis.connection import Connection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError

from reactions.core.instruments import CONDEMNED

MAX_IDLE_S = 30.0
"""A connection that was idle for longer is replaced before it is used. Firewalls and load balancers
drop idle connections without a word, the strictest after a minute; a new connection costs less than
one timeout."""

_CODES = (
    "READONLY",  # it is a replica
    "MASTERDOWN",  # it is a replica that has lost its primary
    "UNBLOCKED",  # it became a replica while it blocked the client
    "NOREPLICAS",  # its replicas may follow another primary
)


def tells_of_role(error: BaseException | None) -> bool:
    """Return whether an error reply says that the server is not the primary, or may not be."""
    known = ReadOnlyError | MasterDownError
    return isinstance(error, known) or str(error).removeprefix("-").startswith(_CODES)


class Address:
    """What this process thinks of an address.

    Attributes:
        generation: the number of times that its connections were condemned.
    """

    __slots__ = ("generation",)

    def __init__(self) -> None:
        self.generation = 0

    def condemn(self, generation: int) -> None:
        """Condemn the connections of a generation, unless that was done already."""
        if generation == self.generation:
            self.generation += 1
            CONDEMNED.labels("redis").inc()


_addresses: dict[tuple[object, object], Address] = {}


def address_of(arguments: Any) -> Address:  # noqa: ANN401 - those of a connection of redis-py
    key = (arguments.get("host"), arguments.get("port") or arguments.get("path"))
    return _addresses.setdefault(key, Address())


def condemn(pool: ConnectionPool) -> None:
    """End every open connection of this process to the address of a pool.

    A connection that is idle is closed before it sends again; the next call goes to the server that
    the address leads to by then. A call that is under way is left alone.
    """
    address = address_of(pool.connection_kwargs)
    address.condemn(address.generation)


class Pool(ConnectionPool):
    """A pool whose connections end as this module says.

    Attributes:
        patience_s: how long a connection waits for an answer.
        silent_until: a time of ``time.monotonic``. The server did not answer on a new connection,
            and a call that also needs other servers does not ask it before.
    """

    def __init__(self, connection_class: Any = Connection, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        """Make the pool; the arguments are those of redis-py."""
        super().__init__(careful(connection_class), **options)
        self.patience_s = float(options.get("socket_timeout") or 0.0)
        self.silent_until = 0.0


_Connection: Any = object
"""The class of redis-py's that the next class goes before; mypy does not look into it."""


class _Careful(_Connection):  # type: ignore[misc]
    """A connection that is replaced when it is condemned, or was idle for long.

    Attributes:
        was_open: whether it was connected before the command that was sent last.
    """

    was_open = False
    _generation: int | None = None  # until it connects
    _used_at = 0.0

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**arguments)
        self._address = address_of(arguments)

    def connect_check_health(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
        """Connect. What is not sent yet when the connection ends is never sent.

        Otherwise the system goes on to send it, and a command that was done again on another
        connection might arrive long after it.
        """
        if self._generation is None:
            self._generation = self._address.generation
            self._used_at = time.monotonic()
        super().connect_check_health(*args, **rest)
        made = getattr(self, "_sock", None)  # redis-py has no public way; a test notices a rename
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def disconnect(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
        self._generation = None
        super().disconnect(*args, **rest)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ANN401 - redis-py's
        now = time.monotonic()
        usable = self._generation == self._address.generation and now - self._used_at <= MAX_IDLE_S
        if not usable and self._generation is not None:
            self.disconnect()  # it connects again below
        self._used_at = now
        try:
            super().send_packed_command(command, check_health)
        finally:
            self.was_open = usable  # not before: commands that greet the server come here, too

    def read_response(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - redis-py's
        try:
            return super().read_response(*args, **rest)
        except ResponseError as error:
            self.note(error)
            raise

    def note(self, error: ResponseError) -> None:
        """Note what an error reply says about the role of the server."""
        if self._generation is not None and tells_of_role(error):
            self._address.condemn(self._generation)


@functools.cache
def careful(base: Any) -> Any:  # noqa: ANN401 - a class of redis-py's
    """Return a subclass of a connection that ends as this module says."""
    return type(f"Careful{base.__name__}", (_Careful, base), {})


def lost_when_demoted(base: Any) -> Any:  # noqa: ANN401 - a class of redis-py's
    """Return a subclass of a connection that counts as lost when a reply tells of another role.

    It is for libraries that connect anew when a connection is lost, and that end when a server
    refuses a command, such as kombu.
    """

    class LostWhenDemoted(base):  # type: ignore[misc]
        def read_response(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - redis-py's
            try:
                return super().read_response(*args, **rest)
            except ResponseError as error:
                if not tells_of_role(error):
                    raise
                self.disconnect()
                raise RedisConnectionError(str(error)) from error

    return LostWhenDemoted
