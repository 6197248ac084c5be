"""Waiting for a condition."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psycopg2

from reactions.core.errors import ReactionsUnavailable, StackError


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until a condition holds; an unavailable store counts as "not yet".

    Raises:
        StackError: the condition did not hold within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ReactionsUnavailable, psycopg2.Error, OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise StackError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
