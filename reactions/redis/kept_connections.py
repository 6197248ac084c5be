"""One connection for each thread and client, kept from call to call.

Taking a connection from redis-py's pool and giving it back costs more processor time than the whole
exchange of one script: a lock, a poll of the socket, events. A thread that keeps its connection
pays for none of that. The connection itself stays redis-py's, and so do TLS, authentication, RESP2
and RESP3, and timeouts.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.connection import ConnectionPool

SHARE = 0.5
"""Share of a pool's ``max_connections`` that threads may keep; further threads borrow one for each
call."""


class Held:
    """The connection that one thread keeps of one client."""

    __slots__ = (
        "__weakref__",
        "_pool",
        "_process",
        "busy",
        "client",
        "connection",
    )

    def __init__(self, client: Redis) -> None:
        # Not of the pool: redis-py's connections have references to it, so it would live on.
        self.client = weakref.ref(client)
        self.connection: Any = None  # redis-py does not say what a pool returns
        self.busy = False
        """A call is under way; a signal handler or a finalizer may want to send in the middle."""
        self._pool = client.connection_pool
        self._process = os.getpid()

    def connect(self) -> None:
        """Take a connection from the pool.

        Raises:
            RedisError: the connection cannot be made.
        """
        self.connection = self._pool.get_connection()

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        """Give the connection back when the thread ends; a forked child leaves it alone."""
        if self.connection is not None and getpid() == self._process:
            self._pool.release(self.connection)


class _Holder(threading.local):
    """What one thread keeps, by the identity of the client."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}


_holder = _Holder()
_kept: weakref.WeakKeyDictionary[ConnectionPool, weakref.WeakSet[Held]] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.RLock()  # a signal handler may need it in the thread that has it


def held(client: Redis) -> Held | None:
    """The connection that this thread keeps, to be used with ``busy`` set.

    None when it is busy already, or when the threads keep as many as they may.

    Raises:
        RedisError: the connection cannot be made.
    """
    found = _holder.held.get(id(client))
    if found is None or found.client() is not client:
        return _take(client)
    return None if found.busy else found


def kept_open(client: Redis) -> Held | None:
    """The connection that this thread keeps, if it has one that is not busy."""
    found = _holder.held.get(id(client))
    return found if found is not None and found.client() is client and not found.busy else None


def _take(client: Redis) -> Held | None:
    mine = _holder.held
    for gone in [key for key, other in mine.items() if other.client() is None]:
        del mine[gone]
    pool, taken = client.connection_pool, Held(client)
    with _lock:  # counted before it connects: threads that come together keep to the bound
        kept = _kept.setdefault(pool, weakref.WeakSet())
        if len(kept) >= pool.max_connections * SHARE:
            return None
        kept.add(taken)
    taken.connect()  # not under the lock; if it fails, `taken` ends here and is not counted
    mine[id(client)] = taken
    return taken


def _after_fork() -> None:
    """A child owns none of its parent's connections, and the lock may be held by another thread."""
    global _holder, _lock
    _lock = threading.RLock()
    _holder = _Holder()
    _kept.clear()


os.register_at_fork(after_in_child=_after_fork)
