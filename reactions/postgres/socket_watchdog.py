"""Ends the wait for a server that no longer answers.

PostgreSQL itself enforces its timeouts. If the server is frozen, or the network is cut, libpq waits
for ever. The watchdog shuts the socket down at a deadline, and libpq then raises an error.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg2
from sqlalchemy.exc import SQLAlchemyError


class NoAnswer(Exception):
    """The server did not answer before the deadline, so the watchdog shut the connection down."""


class Watchdog:
    """Watches deadlines in one thread, which starts when first needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[int, tuple[float, int]] = {}  # ticket -> deadline, file descriptor
        self._tickets = 0
        self._wakes_at = math.inf  # when the thread looks by itself
        self._thread: threading.Thread | None = None

    @contextmanager
    def guard(self, descriptor: int, seconds: float) -> Iterator[None]:
        """Shut a socket down if the block does not end within ``seconds``.

        Args:
            descriptor: the file descriptor of the socket. The watchdog uses a copy, so the block
                may close it.

        Raises:
            NoAnswer: the block failed with an error of the driver after its deadline.
        """
        copy = os.dup(descriptor)
        with self._changed:
            self._tickets += 1
            ticket = self._tickets
            deadline = time.monotonic() + seconds
            self._deadlines[ticket] = deadline, copy
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="reactions-watchdog", daemon=True
                )
                self._thread.start()
            if deadline < self._wakes_at:  # waking a thread costs as much as a short query
                self._changed.notify()
        try:
            yield
        except (psycopg2.Error, SQLAlchemyError) as error:
            if ticket in self._deadlines:
                raise
            raise NoAnswer(f"no answer within {seconds:g} s") from error
        finally:
            with self._changed:
                self._deadlines.pop(ticket, None)
                os.close(copy)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for ticket, (deadline, copy) in list(self._deadlines.items()):
                    if deadline <= now:
                        del self._deadlines[ticket]
                        _shut(copy)
                self._wakes_at = min((at for at, _ in self._deadlines.values()), default=math.inf)
                idle = self._wakes_at == math.inf
                self._changed.wait(None if idle else max(0.0, self._wakes_at - now))


def _shut(descriptor: int) -> None:
    """Shut down both directions for every copy of the descriptor, so that a poll on it returns."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
        end.shutdown(socket.SHUT_RDWR)


_watchdog = Watchdog()


def guard(descriptor: int, seconds: float) -> AbstractContextManager[None]:
    """Call ``Watchdog.guard`` on the watchdog of this process."""
    return _watchdog.guard(descriptor, seconds)


def _renew() -> None:
    """Replace the watchdog in a forked child, which does not inherit its thread."""
    global _watchdog
    _watchdog = Watchdog()


os.register_at_fork(after_in_child=_renew)
