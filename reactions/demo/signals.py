"""The signals that stop a stack, and a way to ignore them during a clean-up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor's request, and a closed terminal."""


@contextlib.contextmanager
def ignore_stop_signals() -> Iterator[None]:
    """Ignore the stop signals: a second Ctrl-C would interrupt a clean-up and leave processes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread, and only it may set handlers
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
