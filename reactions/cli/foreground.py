"""Keeps a stack running in the foreground until the user ends it."""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactions.demo.stack import Stack


def keep_running(stack: Stack, announce: Callable[[], None]) -> None:
    """Wait for an interrupt, or until the terminal is gone. Afterwards only clean-up is left.

    Args:
        stack: a running stack.
        announce: prints where the stack answers. A reader of it may send the interrupt at once.

    Raises:
        StackError: a server or process of the stack died.
    """
    from reactions.demo.signals import STOP_SIGNALS

    terminal = select.poll()
    if sys.stdout.isatty():
        terminal.register(sys.stdout, 0)  # poll() reports a hang-up in any case
    with suppress(KeyboardInterrupt):
        try:
            stack.supervise()
            announce()
            while not terminal.poll(500):
                stack.check()
                stack.supervise()
            sys.exit(128 + signal.SIGHUP)  # the signal itself may have gone to make or a shell only
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
