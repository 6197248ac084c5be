"""Ends waiting for a server that has fallen silent.

The timeouts of PostgreSQL are kept by PostgreSQL: when it is frozen, or a cable is cut, nothing
comes back, and libpq waits for ever. This closes the socket under it at the deadline, so that it
gives up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


class Watchdog:
    """One thread, started when first needed; it sleeps until the next deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[int, tuple[float, int]] = {}  # ticket -> deadline, file descriptor
        self._tickets = 0
        self._thread: threading.Thread | None = None

    @contextmanager
    def guard(self, descriptor: int, seconds: float) -> Iterator[None]:
        """Shut a socket down unless the block ends in time.

        Args:
            descriptor: of the socket; watched as a copy, so it may be closed meanwhile.
        """
        copy = os.dup(descriptor)
        with self._changed:
            self._tickets += 1
            ticket = self._tickets
            self._deadlines[ticket] = time.monotonic() + seconds, copy
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="reactions-watchdog", daemon=True
                )
                self._thread.start()
            if len(self._deadlines) == 1:
                self._changed.notify()
        try:
            yield
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
                rest = min((deadline for deadline, _ in self._deadlines.values()), default=None)
                self._changed.wait(None if rest is None else max(0.0, rest - now))


def _shut(descriptor: int) -> None:
    """For both directions, whoever else has it open: so a poll on it returns."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
        end.shutdown(socket.SHUT_RDWR)


_dog = Watchdog()


def guard(descriptor: int, seconds: float) -> AbstractContextManager[None]:
    """``Watchdog.guard`` of this process's one."""
    return _dog.guard(descriptor, seconds)


def _renew() -> None:
    """Neither its thread nor its lock is of use in a forked child."""
    global _dog
    _dog = Watchdog()


os.register_at_fork(after_in_child=_renew)
