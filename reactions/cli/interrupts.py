"""Answers Ctrl-C at once, also while a command waits for PostgreSQL.

Python runs no handler of a signal while its main thread waits inside the driver. So a thread says
what the command waits for, and has PostgreSQL cancel it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from reactions.cli.console import err, say

WAIT_S = 4.0
"""How long a server may take to end a statement. Then the process ends as it is: PostgreSQL rolls
an open transaction back, and no command leaves anything else unfinished."""


@contextmanager
def interruptible() -> Iterator[None]:
    """While the block runs, Ctrl-C says what it waits for, and ends within five seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread
        return
    running = _Running()
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    thread = threading.Thread(target=running.watch, args=(read,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        running.ended.set()
        signal.set_wakeup_fd(before)
        os.close(write)  # the thread reads the end
        thread.join()
        os.close(read)
        running.forget()


class _Running:
    """The connections, of every pool of this process, on which a statement may run."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._taken: dict[int, Any] = {}
        event.listen(Pool, "checkout", self._take)
        event.listen(Pool, "checkin", self._give_back)

    def forget(self) -> None:
        """Watch no more connections."""
        event.remove(Pool, "checkout", self._take)
        event.remove(Pool, "checkin", self._give_back)

    def _take(self, connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        self._taken[id(connection)] = connection

    def _give_back(self, connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        self._taken.pop(id(connection), None)

    def watch(self, signals: int) -> None:
        """Wait for an interrupt. Then cancel what runs, until the block has ended."""
        while numbers := os.read(signals, 64):
            if signal.SIGINT in numbers:
                self._stop()
                return

    def _stop(self) -> None:
        waiting = "for PostgreSQL to end a statement" if self._taken else "for a server to answer"
        say(f"stopping: waiting {waiting}; at most {WAIT_S:g} s")
        err.show_cursor(True)  # a progress bar hides it
        # Not a thread of Python: cancel() holds Python's lock while a hung server says nothing.
        with Path(os.devnull).open("w") as nowhere:
            faulthandler.dump_traceback_later(WAIT_S, file=nowhere, exit=True)
            while not self.ended.wait(0.2):
                for connection in list(self._taken.values()):
                    with suppress(Exception):  # it was just given back, or its server is away
                        connection.cancel()
            faulthandler.cancel_dump_traceback_later()
