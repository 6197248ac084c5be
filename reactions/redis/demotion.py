"""Leaves connections to a server that is not the primary any more, and those that were idle long.

After a switch-over, an address names another server, but open connections still lead to the old
one, which refuses writes. So whatever a reply says about the role of the server ends the connection
and its idle siblings: those of every pool of this process with the same address. The next call asks
for the address anew.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

from redis.connection import ConnectionPool
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError

from reactions.core.instruments import CONDEMNED
from reactions.redis import kept_connections
from reactions.redis.kept_connections import condemn

Address: TypeAlias = "tuple[object, object]"
"""Host and port, or None and the path of a socket."""

_pools: weakref.WeakKeyDictionary[ConnectionPool, Address] = weakref.WeakKeyDictionary()

_CODES = (
    "READONLY",  # it is a replica
    "MASTERDOWN",  # it is a replica that has lost its primary
    "UNBLOCKED",  # it became a replica while it blocked the client
    "NOREPLICAS",  # its replicas follow another primary, perhaps
)


def tells_of_role(error: Exception) -> bool:
    """Return whether an error reply says that the server is not the primary, or may not be."""
    known = ReadOnlyError | MasterDownError
    return isinstance(error, known) or str(error).removeprefix("-").startswith(_CODES)


def watch(pool: ConnectionPool) -> None:
    """Have a pool's connections end as this module says. Call it before the first is made."""
    arguments = pool.connection_kwargs
    _pools[pool] = (arguments.get("host"), arguments.get("port") or arguments.get("path"))
    owner = weakref.ref(pool)

    def demoted() -> None:
        found = owner()
        if found is not None:
            leave(found)

    pool.connection_class = watched(pool.connection_class, demoted)


def watched(base: Any, demoted: Callable[[], None]) -> Any:  # noqa: ANN401 - a class of redis-py's
    """Return a subclass of a connection that calls ``demoted`` when a reply tells of another role.

    It connects again before it sends, if it was idle for longer than MAX_IDLE_S.
    """

    class Watched(base):  # type: ignore[misc]
        _used_at = math.inf  # until the first command
        _greeting = False  # the commands of a new connection are being sent

        def connect_check_health(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
            self._greeting = True
            try:
                super().connect_check_health(*args, **rest)
            finally:
                self._greeting = False

        def disconnect(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
            self._used_at = math.inf
            super().disconnect(*args, **rest)

        def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ANN401 - redis-py's
            now = time.monotonic()
            if not self._greeting and now - self._used_at > kept_connections.MAX_IDLE_S:
                self.disconnect()  # it connects again below
            self._used_at = now
            super().send_packed_command(command, check_health)

        def read_response(self, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - redis-py's
            try:
                return super().read_response(*args, **rest)
            except ResponseError as error:
                if tells_of_role(error):
                    self.mark_for_reconnect()  # closed when it goes back to the pool
                    demoted()
                raise

    return Watched


def leave(pool: ConnectionPool) -> None:
    """Close the idle connections of every pool with the address of this one."""
    CONDEMNED.labels("redis").inc()
    address = _pools.get(pool)
    for other, its_address in list(_pools.items()):
        if other is pool or its_address == address:
            condemn(other)
